"""How a child process of ours is started: which command, which environment. Used for dry runs and for engines."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_NEEDED = ("PATH", "LD_LIBRARY_PATH")
"""What Python may need to start."""
_OF_ENGINES = ("HOME", "LD_PRELOAD", "TMPDIR", "TZ", "XDG_CACHE_HOME")
_PREFIXES_OF_ENGINES = ("CUDA_", "NVIDIA_", "OMP_")
_HOME = str(Path(__file__).resolve().parents[2])
_START = (
    "import runpy, sys; home, module = sys.argv[1:3]; del sys.argv[1:3]; sys.path.insert(0, home); import service; "
    "sys.path.remove(home); runpy.run_module(module, run_name='__main__')"
)
"""Another `service` that comes first on the path, such as a folder of the user's, is not the one to run."""
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


def child_command(module: str, *arguments: str) -> Sequence[str]:
    """The command that runs one of our modules in this Python; it gets the parent's process id and these arguments."""
    return [sys.executable, "-P", "-c", _START, _HOME, module, str(os.getpid()), *arguments]


def child_environment(*, engine: bool) -> dict[str, str]:
    """The few variables that a child gets: tokens and keys stay in the parent.

    Args:
        engine: also what finds a device, its libraries and a cache.
    """
    kept = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    if engine:
        kept |= {
            name: value
            for name, value in os.environ.items()
            if name in _OF_ENGINES or name.startswith(_PREFIXES_OF_ENGINES)
        }
    # Without ORT_DISABLE_TELEMETRY onnxruntime keeps a database of what it did in the user's home, and would send it.
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "ORT_DISABLE_TELEMETRY": "1"}


def bind_to(parent: int) -> None:
    """In the child: die with the process that started it, also when that is killed; gain no rights."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it died before we asked to be told
