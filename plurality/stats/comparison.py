"""Two models on the same pairs: bootstrap intervals over whole clusters (prompts, debates)."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.stats._validate import Array, UndefinedStatistic, at_least_one

Rows = NDArray[np.intp]
Statistic = Callable[[Rows], float]
"""A statistic of the rows with these indices, shape [n], repeats allowed."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile bootstrap interval, in the unit of the statistic."""

    estimate: float
    """The statistic on the rows as they are."""
    low: float
    high: float
    p_value: float | None = None
    """Two-sided share of draws on the far side of zero; only for differences."""


def cluster_bootstrap(
    statistic: Statistic, clusters: Sequence[Hashable], *, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Percentile interval over resampled clusters (Efron 1979; clusters: Field and Welsh 2007).

    Draws where the statistic is undefined are left out; more than one of ten is an error. Over few clusters the
    interval is a little short (40 clusters: 88 % coverage where 90 % is asked).

    Args:
        statistic: of row indices.
        clusters: the cluster of each row, length N.

    Raises:
        ValueError: no rows, fewer than one draw, a level outside (0, 1), a statistic of NaN or infinity.
        UndefinedStatistic: on all rows, in more than one draw of ten, or of a single cluster.
    """
    estimate, values = _bootstrap(statistic, clusters, draws, seed, level)
    return Interval(estimate, *_percentiles(values, level))


def paired_cluster_bootstrap(
    first: Statistic,
    second: Statistic,
    clusters: Sequence[Hashable],
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of first − second on the same resampled rows, so that what both share cancels.

    Arguments, errors and sources as `cluster_bootstrap`. The p-value, 2 min(share ≤ 0, share ≥ 0) of the draws, is
    the level at which the interval touches zero, and can be as low as 0.
    """
    estimate, values = _bootstrap(lambda rows: first(rows) - second(rows), clusters, draws, seed, level)
    p_value = min(1.0, 2.0 * min(float(np.mean(values <= 0)), float(np.mean(values >= 0))))
    return Interval(estimate, *_percentiles(values, level), p_value)


def _bootstrap(
    statistic: Statistic, clusters: Sequence[Hashable], draws: int, seed: int, level: float
) -> tuple[float, Array]:
    at_least_one(draws=draws)
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not in (0, 1)")
    members = _members(clusters)
    return _value(statistic, np.arange(len(clusters))), _draw(statistic, members, draws, seed)


def _members(clusters: Sequence[Hashable]) -> list[Rows]:
    found: dict[Hashable, list[int]] = {}
    for row, cluster in enumerate(clusters):
        found.setdefault(cluster, []).append(row)
    if not found:
        raise ValueError("empty: clusters")
    if len(found) == 1:
        raise UndefinedStatistic("bootstrap: a single cluster shows no spread")
    return [np.array(rows, dtype=np.intp) for rows in found.values()]


def _draw(statistic: Statistic, members: list[Rows], draws: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    pick = _picker(members)
    values: list[float] = []
    for _ in range(draws):
        try:
            values.append(_value(statistic, pick(rng.integers(0, len(members), len(members)))))
        except UndefinedStatistic:
            continue
    if len(values) < 0.9 * draws:
        raise UndefinedStatistic(f"the statistic is undefined in {draws - len(values)} of {draws} draws")
    return np.array(values)


def _picker(members: list[Rows]) -> Callable[[Rows], Rows]:
    """From chosen clusters to their rows, cluster by cluster, without a loop over them."""
    flat = np.concatenate(members)
    size = np.array([len(rows) for rows in members])
    start = np.cumsum(size) - size

    def pick(chosen: Rows) -> Rows:
        count = size[chosen]
        end = np.cumsum(count)
        rows: Rows = flat[np.repeat(start[chosen] - end + count, count) + np.arange(end[-1])]
        return rows

    return pick


def _value(statistic: Statistic, rows: Rows) -> float:
    value = float(statistic(rows))
    if not np.isfinite(value):
        raise ValueError(f"the statistic is {value}; one without a value must raise UndefinedStatistic")
    return value


def _percentiles(values: Array, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
