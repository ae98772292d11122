"""Score preference rows with a bundle: rewards, and P(a preferred) raw and calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model_export.errors import ExportError
from plurality.core.rows import PreferenceRow
from service.bundle.calibrate import UNCALIBRATED
from service.bundle.open import LoadedModel, score_now
from service.domain import Reward

Array = NDArray[np.float64]
_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model says of N rows."""

    margin: Array
    """r_a − r_b, shape [N]."""
    raw: Array
    """σ(r_a − r_b), shape [N]."""
    calibrated: Array
    """The version's own P(a preferred), σ((r_a − r_b) / T) or as it was calibrated, shape [N]."""
    rewards: Array
    """r_a and r_b, shape [N, 2]."""


def predict(model: LoadedModel, rows: Sequence[PreferenceRow]) -> Predictions:
    """Rewards and probabilities of every row, through the service's own tokenizer and runner.

    Raises:
        ExportError: a response cannot be scored; none is left out silently.
    """
    items = [item for row in rows for item in row.pair.items]
    rewards: list[float] = []
    for start in tqdm(range(0, len(items), _CHUNK), desc=model.manifest.model, unit="chunk", leave=False):
        for outcome in score_now(model, items[start : start + _CHUNK]):
            if not isinstance(outcome, Reward):
                raise ExportError(f"row {rows[len(rewards) // 2].id} cannot be scored: {outcome.message}")
            rewards.append(outcome.value)
    both = np.array(rewards).reshape(-1, 2)
    margin = both[:, 0] - both[:, 1]
    calibrator = model.manifest.calibrator
    sources = [row.source for row in rows]
    raw = np.array([UNCALIBRATED.probability(float(gap)) for gap in margin])
    calibrated = [calibrator.probability(float(gap), source) for gap, source in zip(margin, sources, strict=True)]
    return Predictions(margin, raw, np.array(calibrated), both)
