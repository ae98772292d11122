"""Tests an opened version before it may score: the longest shape runs, the golden rewards come out. Blocking."""

import numpy as np

from service.bundle.open import LoadedModel, check_golden
from service.domain import Encoding
from service.engine.backend import pad
from service.errors import BundleRejected, EngineError

_WARM_UP_TOKENS = 512
_SAME = 1e-6
"""Golden rewards with a smaller relative difference count as the same reward."""


def warm_up(model: LoadedModel) -> None:
    """Run the longest shape once, so that the first request does not pay for the engine's allocations.

    Raises:
        BundleRejected: reason `warmup`, or `selftest` where it runs and answers no number.
    """
    length = min(model.manifest.input_format.max_length, _WARM_UP_TOKENS)
    row = Encoding((model.manifest.golden[0].token_ids[0],) * length, length, 0)
    try:
        logits = model.backend.run(pad([row], model.pad_id))
    except EngineError as error:
        raise BundleRejected(f"a text of {length} tokens fails: {error.message}", reason="warmup") from None
    if not np.isfinite(logits).all():
        raise BundleRejected(f"a text of {length} tokens gets no finite reward", reason="selftest")


def self_test(model: LoadedModel) -> None:
    """Rescore the golden inputs, and check that rewards depend on the text at all.

    Raises:
        BundleRejected: reason `selftest`.
    """
    check_golden(model)
    golden = model.manifest.golden
    rewards = np.array([entry.reward for entry in golden])
    if len({entry.token_ids for entry in golden}) > 1 and np.ptp(rewards) <= _SAME * max(1.0, np.abs(rewards).max()):
        raise BundleRejected("it gives every text the same reward", reason="selftest")
