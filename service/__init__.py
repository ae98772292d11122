"""The online half: scores with published reward models. Imports neither torch nor transformers. Ever.

Read in this order:

    scoring.py      one request's story, top to bottom
    app.py          the composition root; server.py: the process and how it stops
    domain.py       the values that travel; wire.py: items, pairs and scores as JSON; errors.py: every error
    admission.py    bounds the items and tokens inside the service
    engine/         the runtime behind a protocol, what it costs here, and batching: policy (pure) and batcher (async)
    bundle/         a version's files, manifest, tokenization, calibration, store; shared with training and export
    versions/       the versions loaded in this process: load, swap, roll back, close
    drift/          drift metrics of each version's rewards
    feedback/       people's votes, in SQL; experiments/: arms, shadows, reports, verdicts
    api/            HTTP, and the only place that knows it
    settings/       all settings; telemetry/: metrics and logs
"""

import os

# Before anything imports onnxruntime: from 1.31 on it gathers usage data on Linux too, unless it is told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
