"""What the Brier score is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import fractions
from plurality.stats.calibration import brier, reliability_curve


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Brier = reliability − resolution + uncertainty + within, over both orders of every pair."""

    reliability: float
    """Mean (predicted − observed)² of the bins: what calibration can take away."""
    resolution: float
    """Mean (observed − 1/2)² of the bins: what the model knows."""
    uncertainty: float
    """Mean (y − 1/2)²: 1/4 for labels of 0 and 1, less where votes are split."""
    within: float
    """What is left because a bin holds unequal predictions; 0 where each bin holds a single one."""


def brier_parts(probability: ArrayLike, label: ArrayLike, *, bins: int = 10) -> BrierParts:
    """Murphy's (1973) decomposition over two-sided uniform bins, with Stephenson's (2008) remainder.

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1], fewer than one bin.
    """
    p, y = fractions(probability=probability, label=label)
    curve = reliability_curve(p, y, bins=bins)
    reliability = float(np.average((curve.predicted - curve.observed) ** 2, weights=curve.count))
    resolution = float(np.average((curve.observed - 0.5) ** 2, weights=curve.count))
    uncertainty = float(np.mean((y - 0.5) ** 2))
    return BrierParts(reliability, resolution, uncertainty, brier(p, y) - (reliability - resolution + uncertainty))
