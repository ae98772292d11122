"""What people's votes say of two versions: each one's figures, and their differences on the same votes. Pure.

Accuracy, Brier score and log loss are differences of bounded values, one a prompt, with intervals that may be looked at
at any time (`stats.sequential`). ECE, Pearson and L1 are no means: their bootstrap intervals hold for one look.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from plurality.stats import (
    NoiseFloor,
    UndefinedStatistic,
    brier,
    cluster_means,
    ece,
    ece_noise_floor,
    l1,
    nll,
    paired_cluster_bootstrap,
    pairwise_accuracy,
    pearson,
    sequential_mean,
)
from plurality.stats.calibration import log_losses
from service.experiments.rows import Array, Counts, Rows, by_pair, paired_rows
from service.feedback.records import Judged

LEAST_PROBABILITY = 0.01
"""Log losses are compared with P cut to [0.01, 0.99]: an unbounded value has no interval that can be peeked at."""
_NLL_REACH = math.log((1 - LEAST_PROBABILITY) / LEAST_PROBABILITY)
Statistic = Callable[[Array, Array], float]


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version against the votes. None where the votes at hand give the figure no value."""

    version: str
    accuracy: float | None
    """Over decided votes; a prediction of 1/2 counts half."""
    nll: float | None
    """Nats a vote, not cut."""
    brier: float | None
    ece: float | None
    """Two-sided, 10 bins, over votes."""
    ece_noise_floor: NoiseFloor | None
    """What `ece` would be of a perfectly calibrated version: below its `high`, `ece` says nothing."""
    pearson: float | None
    """Of P and the share of votes, over pairs that two or more people judged (arXiv 2412.03822)."""
    l1: float | None
    """Mean |P − share of votes|, over the same pairs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Treatment less control on the same votes."""

    estimate: float
    low: float
    high: float
    p_value: float | None
    """Two-sided, of no difference."""
    units: int
    """Prompts behind a peekable difference, rows (votes, pairs) behind another."""
    peekable: bool
    """Whether the interval holds at every look at once, or only for a single look decided on beforehand."""
    e_value: float | None = None
    """Evidence against no difference, of peekable differences."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Of accuracy and Pearson more is better, of the others less. None where there is no interval."""

    accuracy: Difference | None
    brier: Difference | None
    nll: Difference | None
    """Of P cut to [0.01, 0.99]."""
    ece: Difference | None
    pearson: Difference | None
    l1: Difference | None


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison of two versions."""

    control: VersionFigures
    treatment: VersionFigures
    differences: Differences
    counts: Counts
    alpha: float
    """Each interval is of level 1 − alpha."""
    votes_per_prompt: int
    """A prompt enters the peekable differences when it has so many votes, with their mean, once."""


def build_report(
    judged: Sequence[Judged],
    *,
    control: str,
    treatment: str,
    alpha: float = 0.05,
    votes_per_prompt: int = 1,
    draws: int = 400,
) -> Report:
    """Compare two versions on the votes that both predicted. The same votes give the same report.

    Args:
        judged: in any order; what lacks a prediction or holds a NaN is left out and counted.
        control: digest of the version that is measured against.
        treatment: digest of the other.
        alpha: chance that an interval misses; of a peekable one, ever.
        votes_per_prompt: fixed before the first vote: 1 for live traffic, the size of the panel where one votes.
        draws: of the bootstrap and of the noise floor.

    Raises:
        ValueError: both versions are one, alpha outside (0, 1), votes_per_prompt or draws below one.
    """
    if control == treatment:
        raise ValueError(f"control and treatment are both {control}: name two versions")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    if votes_per_prompt < 1 or draws < 1:
        raise ValueError(f"votes_per_prompt {votes_per_prompt} and draws {draws} must be at least 1")
    rows, counts = paired_rows(judged, control=control, treatment=treatment)
    shared = by_pair(rows)
    peeked = _peekable(rows, alpha, votes_per_prompt)
    fixed = [
        _once(statistic, table, alpha, draws) for statistic, table in ((ece, rows), (pearson, shared), (l1, shared))
    ]
    return Report(
        control=_figures(control, rows.control, rows.share, shared.control, shared.share, draws),
        treatment=_figures(treatment, rows.treatment, rows.share, shared.treatment, shared.share, draws),
        differences=Differences(*peeked, *fixed),
        counts=counts,
        alpha=alpha,
        votes_per_prompt=votes_per_prompt,
    )


def _figures(version: str, p: Array, y: Array, pair_p: Array, pair_y: Array, draws: int) -> VersionFigures:
    return VersionFigures(
        version=version,
        accuracy=_value(lambda p, y: pairwise_accuracy(p, y).accuracy, p, y),
        nll=_value(nll, p, y),
        brier=_value(brier, p, y),
        ece=_value(ece, p, y),
        ece_noise_floor=ece_noise_floor(p, draws=draws) if len(p) else None,
        pearson=_value(pearson, pair_p, pair_y),
        l1=_value(l1, pair_p, pair_y),
    )


def _value(statistic: Statistic, p: Array, y: Array) -> float | None:
    if not len(p):
        return None
    try:
        return statistic(p, y)
    except UndefinedStatistic:
        return None


def _peekable(rows: Rows, alpha: float, votes_per_prompt: int) -> list[Difference | None]:
    """Of accuracy over decided votes, of Brier score, of log loss."""
    prompts = rows.prompts
    decided = np.flatnonzero(rows.share != 0.5)
    credit = [np.sign(p - 0.5) * np.sign(rows.share - 0.5) / 2 for p in (rows.treatment, rows.control)]
    square = [(p - rows.share) ** 2 for p in (rows.treatment, rows.control)]
    return [
        _always((credit[0] - credit[1])[decided], [prompts[i] for i in decided], alpha, votes_per_prompt, 1.0),
        _always(square[0] - square[1], prompts, alpha, votes_per_prompt, 1.0),
        _always(_nll_differences(rows), prompts, alpha, votes_per_prompt, _NLL_REACH),
    ]


def _nll_differences(rows: Rows) -> Array:
    if not len(rows.share):
        return rows.share
    treatment, control = (
        log_losses(np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY), rows.share)
        for p in (rows.treatment, rows.control)
    )
    # The bound is exact but for rounding.
    cut: Array = np.clip(treatment - control, -_NLL_REACH, _NLL_REACH)
    return cut


def _always(
    values: Array, prompts: Sequence[Hashable], alpha: float, votes_per_prompt: int, reach: float
) -> Difference | None:
    units = cluster_means(values, prompts, size=votes_per_prompt) if len(values) else values
    if not len(units):
        return None
    found = sequential_mean(units, alpha=alpha, reach=reach)
    return Difference(found.estimate, found.low, found.high, found.p_value, found.count, True, found.e_value)


def _once(statistic: Statistic, rows: Rows, alpha: float, draws: int) -> Difference | None:
    """By bootstrap over whole prompts."""
    if not len(rows.share):
        return None
    try:
        found = paired_cluster_bootstrap(
            lambda drawn: statistic(rows.treatment[drawn], rows.share[drawn]),
            lambda drawn: statistic(rows.control[drawn], rows.share[drawn]),
            rows.prompts,
            draws=draws,
            level=1 - alpha,
        )
    except UndefinedStatistic:
        return None
    return Difference(found.estimate, found.low, found.high, found.p_value, len(rows.share), False)
