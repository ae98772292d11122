"""The online half: scores with published reward models. Imports neither torch nor transformers. Ever.

Read in this order:

    scoring.py      one request's story, top to bottom
    app.py          the composition root; server.py: the process and how it stops
    domain.py       the values that travel; errors.py: every way to fail
    tokenise.py     render + tokenise, shared with training; calibrate.py: rewards to probabilities
    admission.py    the bounded gate; batching/: policy (pure) and batcher (async)
    runtime/        the engine behind a protocol
    repository/     bundles: manifest, store, load, live
    api/            HTTP, and the only place that knows it
    telemetry/      metrics and logs
"""
