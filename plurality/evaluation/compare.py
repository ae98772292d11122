"""Two predictors on the same pairs: paired intervals over whole prompts, and Williams' test of their correlations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.evaluation.figures import WITH_INTERVAL, compared
from plurality.evaluation.sample import Sample, Slice
from plurality.stats import UndefinedStatistic, Williams, williams
from plurality.stats.paired import Resampling, difference

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """other − first of one statistic on one slice, as the paper's Δ."""

    group: str
    name: str
    statistic: str
    estimate: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    """Two-sided, of the paired bootstrap."""
    note: str | None = None
    """Why there is no interval."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A predictor against the first."""

    first: str
    other: str
    differences: Sequence[Difference]
    williams: Williams | None
    """On all pairs with p*; it takes them as independent. t > 0: the other one correlates more."""
    williams_note: str | None = None
    """Why there is none."""


def compare(
    sample: Sample,
    entries: Sequence[Slice],
    first: tuple[str, Array],
    other: tuple[str, Array],
    resampling: Resampling,
) -> Comparison:
    """Differences on each slice; a statistic that has no value for one of the two is left out there.

    Args:
        first: name and P(a preferred), shape [N].
        other: likewise.
    """
    found = [
        made
        for entry in entries
        for name in WITH_INTERVAL
        if (made := _difference(sample, entry, name, first[1], other[1], resampling))
    ]
    test, note = _williams(sample, first[1], other[1])
    return Comparison(first[0], other[0], found, test, note)


def _difference(
    sample: Sample, entry: Slice, name: str, first: Array, other: Array, resampling: Resampling
) -> Difference | None:
    statistic, places, target = compared(sample, entry, name)
    prompts = [sample.prompts[place] for place in places]
    found, p_value = difference(statistic, other[places], first[places], target, prompts, resampling)
    if found.estimate is None:
        return None
    return Difference(entry.group, entry.name, name, found.estimate, found.low, found.high, p_value, found.note)


def _williams(sample: Sample, first: Array, other: Array) -> tuple[Williams | None, str | None]:
    known = sample.known
    if not known.any():
        return None, "no pair has a known p*"
    try:
        return williams(other[known], first[known], sample.people[known]), None
    except UndefinedStatistic as error:
        return None, str(error)
