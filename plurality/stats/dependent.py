"""Williams' test: do two models correlate with the same people differently?"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import UndefinedStatistic, vectors
from plurality.stats.correlation import pearson

_SAME = 1e-12


@dataclass(frozen=True, slots=True)
class Williams:
    """The statistic t with N − 3 degrees of freedom; positive where the first correlates more."""

    t: float
    degrees: int
    p_value: float
    """Two-sided."""


def williams(first: ArrayLike, second: ArrayLike, truth: ArrayLike) -> Williams:
    """Test of corr(first, truth) = corr(second, truth) (Williams 1959; T2 of Steiger 1980, eq. 7).

    Takes the N rows as independent: where a prompt has several, `paired_cluster_bootstrap` is the one to believe.

    Args:
        first: shape [N], any unit.
        second: shape [N], any unit.
        truth: shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity.
        UndefinedStatistic: fewer than four rows, one of the three is constant, or both are the same up to scale.
    """
    a, b, y = vectors(first=first, second=second, truth=truth)
    degrees = len(y) - 3
    if degrees < 1:
        raise UndefinedStatistic(f"Williams' test needs at least 4 rows, not {len(y)}")
    r_ay, r_by, r_ab = pearson(a, y), pearson(b, y), pearson(a, b)
    if r_ab > 1 - _SAME:
        raise UndefinedStatistic("Williams' test: the two predictions are the same up to scale")
    determinant = max(0.0, 1 - r_ay**2 - r_by**2 - r_ab**2 + 2 * r_ay * r_by * r_ab)
    spread = 2 * (degrees + 2) / degrees * determinant + ((r_ay + r_by) / 2) ** 2 * (1 - r_ab) ** 3
    if spread < _SAME:
        raise UndefinedStatistic("Williams' test: the correlations leave no spread to test against")
    t = (r_ay - r_by) * math.sqrt((degrees + 2) * (1 + r_ab) / spread)
    return Williams(t, degrees, student_two_sided(t, degrees))


def student_two_sided(t: float, degrees: int) -> float:
    """P(|T| ≥ |t|) of Student's t with whole degrees of freedom: the finite series of Abramowitz and Stegun, 26.7.3-4.

    To about 1e-13 absolutely: a smaller p-value reads as that or 0.
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    odd = degrees % 2
    # Terms cos^k · (2·4···)/(3·5···) or (1·3···)/(2·4···), each from the one before.
    steps = np.arange(2 if odd else 1, degrees - 1, 2, dtype=np.float64)
    series = np.cumprod(np.append(math.cos(angle) if odd else 1.0, steps / (steps + 1) * math.cos(angle) ** 2))
    total = math.sin(angle) * float(series.sum())
    if odd:
        total = 2 / math.pi * (angle + (total if degrees > 1 else 0.0))
    return min(1.0, max(0.0, 1.0 - total))
