"""What a reliability diagram shows when nothing is wrong: the band inside which a gap says nothing."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, at_least_one, fractions
from plurality.stats.calibration import chance_labels, reliability_curve


@dataclass(frozen=True, slots=True)
class NoiseBand:
    """One entry a bin of `reliability_curve`, by rising prediction."""

    predicted: Array
    low: Array
    """5 % quantile of the observed share."""
    high: Array
    """95 % quantile."""


def reliability_band(probability: ArrayLike, *, draws: int = 200, seed: int = 0) -> NoiseBand:
    """Where the observed shares of a perfectly calibrated model lie (consistency bars, Bröcker and Smith 2007).

    Args:
        probability: P(a preferred), shape [N]; it alone decides the bins.
        draws: label sets drawn from Bernoulli(P).

    Raises:
        ValueError: as `reliability_curve`, or fewer than one draw.
    """
    (p,) = fractions(probability=probability)
    at_least_one(draws=draws)
    curves = [reliability_curve(p, label) for label in chance_labels(p, draws=draws, seed=seed)]
    low, high = np.quantile(np.stack([curve.observed for curve in curves]), [0.05, 0.95], axis=0)
    return NoiseBand(curves[0].predicted, low, high)
