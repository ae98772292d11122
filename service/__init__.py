"""The online half: scores with published reward models. Imports neither torch nor transformers. Ever.

Read in this order:

    scoring.py      one request's story, top to bottom
    app.py          the composition root; server.py: the process and how it stops
    domain.py       the values that travel; errors.py: every way to fail
    tokenise.py     render + tokenise, shared with training; calibrate.py: rewards to probabilities
    admission.py    the bounded gate; batching/: policy (pure) and batcher (async)
    runtime/        the engine behind a protocol
    repository/     bundles: manifest, store, and the life of a version
    feedback/       people's votes, in SQL; experiments/: arms, shadows, reports, verdicts; watch/: drift of rewards
    api/            HTTP, and the only place that knows it
    telemetry/      metrics and logs
"""

import os

# Before anything imports onnxruntime: from 1.31 on it gathers usage data on Linux too, unless it is told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
