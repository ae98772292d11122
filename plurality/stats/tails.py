"""Reward differences far outside the bulk: a few of them carry a loss, and a policy will find them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, vectors


@dataclass(frozen=True, slots=True)
class Outliers:
    """Values outside Tukey's fences, Q1 − 1.5 IQR and Q3 + 1.5 IQR; a mean is None where there is no outlier."""

    low_fence: float
    high_fence: float
    low_count: int
    high_count: int
    low_mean: float | None
    high_mean: float | None


def outliers(values: ArrayLike) -> Outliers:
    """Count and mean of both tails (arXiv 2312.07401, Tables 4-6, of r_preferred − r_other; fences: Tukey 1977).

    Args:
        values: shape [N], any unit.

    Raises:
        ValueError: empty, NaN or infinity.
    """
    (x,) = vectors(values=values)
    first, third = np.quantile(x, [0.25, 0.75])
    reach = 1.5 * (third - first)
    low, high = x[x < first - reach], x[x > third + reach]
    return Outliers(float(first - reach), float(third + reach), len(low), len(high), _mean(low), _mean(high))


def _mean(values: Array) -> float | None:
    return float(values.mean()) if len(values) else None
