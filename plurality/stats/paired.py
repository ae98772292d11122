"""Two predictors on the same rows: each one's figures, and their paired differences.

A statistic takes two vectors of shape [N]: what is predicted, P(a preferred), and its target, a label or a share of
votes. Every comparison of versions or models takes its statistics, its intervals and its reasons for having none here.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from plurality.stats._validate import Array, UndefinedStatistic
from plurality.stats.accuracy import correctness, pairwise_accuracy
from plurality.stats.calibration import brier, ece, l1, log_losses, nll
from plurality.stats.comparison import Rows, cluster_bootstrap, paired_cluster_bootstrap
from plurality.stats.correlation import pearson, spearman
from plurality.stats.sequential import SequentialMean, cluster_means, sequential_mean

Statistic = Callable[[Array, Array], float]


STATISTICS: Final[Mapping[str, Statistic]] = {
    "accuracy": pairwise_accuracy,
    "ece": ece,
    "brier": brier,
    "nll": nll,
    "pearson": pearson,
    "spearman": spearman,
    "l1": l1,
}
"""By the name that files, replies and tables use. ECE is two-sided, of ten bins."""

LEAST_PROBABILITY: Final = 0.01
"""Log losses are compared with P cut to [0.01, 0.99]: an unbounded value has no anytime-valid interval."""


def _cut_log_losses(probability: Array, label: Array) -> Array:
    return log_losses(np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY), label)


_BY_ROW: Final[Mapping[str, tuple[Callable[[Array, Array], Array], float]]] = {
    "accuracy": (correctness, 1.0),
    "brier": (lambda probability, label: (probability - label) ** 2, 1.0),
    "nll": (_cut_log_losses, math.log((1 - LEAST_PROBABILITY) / LEAST_PROBABILITY)),
}
"""Statistics that are means over rows: the value of each row, and the largest difference of two such values."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A statistic, or the difference of two, on some rows."""

    estimate: float | None
    """None where the statistic has no value; never NaN."""
    low: float | None = None
    """Of the interval over resampled clusters, which holds for a single look."""
    high: float | None = None
    note: str | None = None
    """Why there is no value, or no interval although one was asked for."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How bootstrap intervals are made."""

    draws: int = 1000
    seed: int = 0
    level: float = 0.95


def figure(
    statistic: Statistic,
    values: Array,
    target: Array,
    clusters: Sequence[Hashable] = (),
    resampling: Resampling | None = None,
) -> Figure:
    """A statistic with its interval over resampled clusters.

    Args:
        values: what is predicted, shape [N].
        target: what it is compared with, shape [N].
        clusters: of each row (its prompt), length N; needed for an interval alone.
        resampling: None for no interval.

    Raises:
        ValueError: as the statistic and `cluster_bootstrap`, but for UndefinedStatistic, which becomes the note.
    """
    return _measured(lambda rows: statistic(values[rows], target[rows]), None, len(target), clusters, resampling)[0]


def difference(
    statistic: Statistic,
    other: Array,
    first: Array,
    target: Array,
    clusters: Sequence[Hashable] = (),
    resampling: Resampling | None = None,
) -> tuple[Figure, float | None]:
    """A statistic of `other` less that of `first` on the same resampled rows, and its two-sided p-value.

    Arguments and errors as `figure`. The p-value is None where there is no interval.
    """
    return _measured(
        lambda rows: statistic(other[rows], target[rows]),
        lambda rows: statistic(first[rows], target[rows]),
        len(target),
        clusters,
        resampling,
    )


def anytime_difference(
    name: str,
    other: Array,
    first: Array,
    target: Array,
    clusters: Sequence[Hashable],
    *,
    alpha: float,
    per_cluster: int = 1,
) -> SequentialMean | None:
    """The difference of accuracy, Brier score or NLL, with an interval that holds at every look at once.

    Accuracy is over decided rows; NLL is of P cut to [0.01, 0.99].

    Args:
        name: accuracy, brier or nll.
        other: P(a preferred), shape [N], in order of time; likewise `first` and `target`.
        clusters: of each row, length N; each enters once, with the mean of its first `per_cluster` rows.
        alpha: chance that the interval ever misses.

    Returns:
        None where no cluster is full.

    Raises:
        KeyError: a statistic that is no mean over rows.
        ValueError: as `sequential_mean` and `cluster_means`.
    """
    by_row, reach = _BY_ROW[name]
    rows = np.flatnonzero(target != 0.5) if name == "accuracy" else np.arange(len(target))
    if not len(rows):
        return None
    # The bound is exact but for rounding.
    values = np.clip(by_row(other[rows], target[rows]) - by_row(first[rows], target[rows]), -reach, reach)
    means = cluster_means(values, [clusters[row] for row in rows.tolist()], size=per_cluster)
    return sequential_mean(means, alpha=alpha, reach=reach) if len(means) else None


def _measured(
    statistic: Callable[[Rows], float],
    less: Callable[[Rows], float] | None,
    count: int,
    clusters: Sequence[Hashable],
    resampling: Resampling | None,
) -> tuple[Figure, float | None]:
    if not count:
        return Figure(None, note="there are no rows"), None
    rows = np.arange(count)
    try:
        estimate = statistic(rows) - (less(rows) if less else 0.0)
    except UndefinedStatistic as error:
        return Figure(None, note=str(error)), None
    if not math.isfinite(estimate):
        raise ValueError(f"the statistic is {estimate}; one without a value must raise UndefinedStatistic")
    if resampling is None:
        return Figure(estimate), None
    how = {"draws": resampling.draws, "seed": resampling.seed}
    try:
        if less is None:
            found = cluster_bootstrap(statistic, clusters, level=resampling.level, **how)
        else:
            found = paired_cluster_bootstrap(statistic, less, clusters, level=resampling.level, **how)
    except UndefinedStatistic as error:
        return Figure(estimate, note=str(error)), None
    return Figure(found.estimate, found.low, found.high), found.p_value
