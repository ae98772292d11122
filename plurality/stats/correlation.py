"""Pearson and Spearman, or a clear word that there is none."""

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, UndefinedStatistic, vectors


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Linear correlation Σ(a − ā)(b − b̄) / √(Σ(a − ā)² Σ(b − b̄)²), in [−1, 1] (Pearson 1895).

    Args:
        first: shape [N], any unit.
        second: shape [N], any unit.

    Raises:
        ValueError: length mismatch, empty, NaN or infinity.
        UndefinedStatistic: one of them is constant.
    """
    a, b = vectors(first=first, second=second)
    for name, values in (("first", a), ("second", b)):
        if values.min() == values.max():
            raise UndefinedStatistic(f"correlation: {name} is constant")
    return float(np.clip(np.dot(_unit(a), _unit(b)), -1.0, 1.0))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation: Pearson of the average ranks, in [−1, 1] (Spearman 1904); errors as `pearson`."""
    a, b = vectors(first=first, second=second)
    return pearson(average_ranks(a), average_ranks(b))


def average_ranks(values: Array) -> Array:
    """Ranks from 0, shape [N]; equal values share the mean of their places (Kendall 1945)."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Array = ((last - count + last - 1) / 2.0)[group]
    return ranks


def _unit(values: Array) -> Array:
    """Centered, of Euclidean length one."""
    # Scaled by a power of two, which is exact: sums and squares of tiny or huge values would under- or overflow.
    scaled = np.ldexp(values, -int(np.frexp(np.abs(values).max())[1]))
    spread = (scaled - scaled.min()) / np.ptp(scaled)
    centered = spread - spread.mean()
    unit: Array = centered / np.linalg.norm(centered)
    return unit
