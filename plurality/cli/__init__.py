"""The command line. `app` has the verbs, one module each; what a verb alone needs is imported when it runs."""

import sys
from importlib import import_module
from pathlib import Path

# A user's own folder `service` in the working directory comes first on the path under `python -m` and torchrun, and a
# PYTHONPATH may hold one: the two packages beside this one are imported from where this one is, once for the process.
_HOME = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _HOME)
for _name in ("model_export", "service"):
    import_module(_name)
sys.path.remove(_HOME)


def main() -> None:
    """The console command `plurality`."""
    from plurality.cli.app import main as run

    run()
