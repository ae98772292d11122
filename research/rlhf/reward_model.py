"""The reward model that is served: the benchmarks', a baseline trained for one epoch on the demo's generated pairs.

Good enough to train against and far from perfect, which is the point: the proxy and the truth can part.
"""

from collections.abc import Callable

from benchmarks.workload import MODEL, make_workload
from research.rlhf.folder import Folder

__all__ = ["MODEL", "make_reward_model"]


def make_reward_model(folder: Folder, say: Callable[[str], None] = print) -> None:
    """Train, calibrate and publish it, unless it is in the store."""
    if not (folder.store / MODEL / "pointer.json").exists():
        make_workload(folder.root, checkpoint=None, say=say)
