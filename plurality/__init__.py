"""Ours but for the service and the exporter: core, stats, training, evaluation, sidecar, synthetic, cli.

Imports nothing of ours: `plurality.stats` works where only numpy is.
"""

import os

# A thread of torch's that waits for the others spins, which on a busy or limited machine keeps the cores from them.
# OpenMP reads this once, when torch is loaded, so it stands before any import of torch. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
