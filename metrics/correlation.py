"""Pearson and Spearman, or a clear word that there is none."""

import numpy as np
from numpy.typing import ArrayLike

from metrics._validate import Array, UndefinedStatistic, vectors


def pearson(first: ArrayLike, second: ArrayLike) -> float:
    """Linear correlation of two vectors of shape [N], in [−1, 1].

    Raises:
        UndefinedStatistic: one of them is constant.
    """
    a, b = vectors(first=first, second=second)
    for name, values in (("first", a), ("second", b)):
        if np.ptp(values) == 0:
            raise UndefinedStatistic(f"correlation: {name} is constant")
    a, b = _standard(a), _standard(b)
    return float(np.clip(np.mean(a * b), -1.0, 1.0))


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation: Pearson of the average ranks (ties share their mean rank)."""
    a, b = vectors(first=first, second=second)
    return pearson(average_ranks(a), average_ranks(b))


def average_ranks(values: Array) -> Array:
    """Ranks from 0; equal values share the mean of their places."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Array = ((last - count + last - 1) / 2.0)[group]
    return ranks


def _standard(values: Array) -> Array:
    # Scaled first: the square of a tiny or huge spread would under- or overflow.
    centred = (values - values.mean()) / np.ptp(values)
    return centred / np.sqrt(np.mean(centred**2))
