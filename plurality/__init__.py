"""Ours but for the service and the exporter: core, stats, training, evaluation, sidecar, synthetic, cli.

Imports nothing of ours: `plurality.stats` works where only numpy is.
"""

import os

# A thread of torch's that waits for the others spins, which on a busy or limited machine keeps the cores from them. It
# looks a moment, a thousand times, then sleeps; never to look would slow an idle machine. OpenMP reads this once, when
# torch is loaded, so it stands before any import of torch. What the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
