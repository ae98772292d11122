"""Which of several processes this is (`torchrun`, `accelerate launch`); alone it is the first of one."""

import os
import sys


def is_first() -> bool:
    """Whether this process is the one that speaks and writes: the others compute alone."""
    return int(os.environ.get("RANK", "0")) == 0


def leave() -> None:
    """End this process if it is one of several; alone, do nothing.

    Python's own ending takes the threads of gloo down in an order of its own: now and then that aborts the process, or
    hangs, and torchrun calls a run failed that has ended well. All files are written by then.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
