"""Score preference rows with a bundle and say how well it predicts people (arXiv 2412.03822, §5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model_export.errors import ExportError
from plurality.core.rows import PreferenceRow
from plurality.stats import UndefinedStatistic, ece, ece_noise_floor, l1, pairwise_accuracy, pearson
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


@dataclass(frozen=True, slots=True)
class Scores:
    """How well probabilities predict people, over one slice of the rows."""

    pairs: int
    accuracy: float | None
    """Against the majority of the population (p* above or below one half); None where no population has one."""
    label_accuracy: float | None
    """Against one annotator's choice; no model can reach 1. None where every label is a tie."""
    pearson: float | None
    """To p*; None where one side is constant."""
    l1: float
    """Mean |P − p*|."""
    ece: float
    """To the binary labels, two-sided, 10 uniform bins."""
    ece_noise_floor: float
    """What a perfectly calibrated model would show on as many pairs."""


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


def score_rows(rows: Sequence[PreferenceRow], probability: Array) -> Scores:
    """Compare P(a preferred) with p* and the labels.

    Raises:
        ValueError: a row has no true preference.
    """
    truth = np.array([_truth(row) for row in rows])
    label = np.array([row.label for row in rows])
    return Scores(
        pairs=len(rows),
        accuracy=_or_none(lambda: pairwise_accuracy(probability, truth).accuracy),
        label_accuracy=_or_none(lambda: pairwise_accuracy(probability, label).accuracy),
        pearson=_or_none(lambda: pearson(probability, truth)),
        l1=l1(probability, truth),
        ece=ece(probability, label),
        ece_noise_floor=ece_noise_floor(probability).mean,
    )


def score_by(
    rows: Sequence[PreferenceRow], probability: Array, key: Callable[[PreferenceRow], str | None]
) -> dict[str, Scores]:
    """Scores of every slice, and of all rows under `all`.

    Raises:
        ValueError: a row has no true preference, or a slice is called `all`.
    """
    slices: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        if (name := key(row)) is not None:
            slices.setdefault(name, []).append(index)
    if "all" in slices:
        raise ValueError("a slice is called `all`, as the total is")
    scores = {
        name: score_rows([rows[i] for i in places], probability[places]) for name, places in sorted(slices.items())
    }
    return scores | {"all": score_rows(rows, probability)}


def _truth(row: PreferenceRow) -> float:
    if row.true_preference is None:
        raise ValueError(f"row {row.id} has no true_preference")
    return row.true_preference


def _or_none(statistic: Callable[[], float]) -> float | None:
    try:
        return statistic()
    except UndefinedStatistic:
        return None
