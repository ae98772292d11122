"""Which of several processes this is (`torchrun`, `accelerate launch`); alone it is the first of one."""

import os


def is_first() -> bool:
    """Whether this process is the one that speaks and writes: the others compute alone."""
    return int(os.environ.get("RANK", "0")) == 0
