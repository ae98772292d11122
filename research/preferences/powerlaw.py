"""A power law with a floor, L(n) = E + A·n^−α, by least squares (the form of arXiv 2001.08361 and 2203.15556)."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from research.preferences.figures import Array

_ALPHA = (0.02, 3.0)


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The fitted curve."""

    floor: float
    """E: what more data cannot take away."""
    scale: float
    exponent: float

    def at(self, count: Array) -> Array:
        """L(n), shape of `count`."""
        found: Array = self.floor + self.scale * count**-self.exponent
        return found


def fit_power_law(count: Array, value: Array, *, least: float = 0.0) -> PowerLaw:
    """The least-squares curve through (n, L), α in [0.02, 3], A ≥ 0, E ≥ `least`.

    Args:
        count: n > 0, shape [P], P ≥ 3.
        value: shape [P], above `least`.
        least: what no model can go below, such as the entropy of people's own shares.
    """
    unit, span = float(count.min()), max(float(np.ptp(value)), 1e-9)

    def miss(parameters: Array) -> Array:
        floor, scale, exponent = parameters
        found: Array = (floor + scale * (count / unit) ** -exponent - value) / span
        return found

    low, high = float(value.min()), float(value.max())
    bounds = ([least, 0.0, _ALPHA[0]], [high, np.inf, _ALPHA[1]])
    starts = [(0.5 * (low + least), high - low, exponent) for exponent in (0.2, 0.5, 1.0)]
    found = min((least_squares(miss, start, bounds=bounds) for start in starts), key=lambda tried: float(tried.cost))
    floor, scale, exponent = map(float, found.x)
    return PowerLaw(floor, scale * unit**exponent, exponent)
