"""Intervals for statistics of pairs that are not independent: whole clusters (prompts, debates) are resampled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics._validate import UndefinedStatistic

Rows = NDArray[np.intp]
Statistic = Callable[[Rows], float]
"""A statistic of the rows with these indices, shape [n], repeats allowed."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile bootstrap interval."""

    estimate: float
    """The statistic on the rows as they are."""
    low: float
    high: float
    p_value: float | None = None
    """Two-sided share of draws on the far side of zero; only for differences."""


def cluster_bootstrap(
    statistic: Statistic, clusters: Sequence[object], *, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of a statistic; draws where it is undefined are left out, and too many of them are an error.

    Args:
        statistic: of row indices.
        clusters: the cluster of each row, length N.

    Raises:
        ValueError: no rows, or a level outside (0, 1).
        UndefinedStatistic: undefined in more than one draw of ten.
    """
    members = _members(clusters, level)
    values = _draw(statistic, members, draws, seed)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(statistic(np.arange(len(clusters))), float(low), float(high))


def paired_cluster_bootstrap(
    first: Statistic,
    second: Statistic,
    clusters: Sequence[object],
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of first − second on the same resampled rows, so that what both share cancels."""
    members = _members(clusters, level)
    values = _draw(lambda rows: first(rows) - second(rows), members, draws, seed)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    everything = np.arange(len(clusters))
    p_value = min(1.0, 2.0 * min(float(np.mean(values <= 0)), float(np.mean(values >= 0))))
    return Interval(first(everything) - second(everything), float(low), float(high), p_value)


def _members(clusters: Sequence[object], level: float) -> list[Rows]:
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1)")
    if not len(clusters):
        raise ValueError("no rows")
    found: dict[object, list[int]] = {}
    for row, cluster in enumerate(clusters):
        found.setdefault(cluster, []).append(row)
    return [np.array(rows, dtype=np.intp) for rows in found.values()]


def _draw(statistic: Statistic, members: list[Rows], draws: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    values: list[float] = []
    for _ in range(draws):
        chosen = rng.integers(0, len(members), len(members))
        try:
            values.append(statistic(np.concatenate([members[i] for i in chosen])))
        except UndefinedStatistic:
            continue
    if len(values) < 0.9 * draws:
        raise UndefinedStatistic(f"the statistic is undefined in {draws - len(values)} of {draws} draws")
    return np.array(values)
