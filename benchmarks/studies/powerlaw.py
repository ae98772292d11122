"""A power law with a floor, L(n) = E + A·n^−α, by least squares (the form of arXiv 2001.08361 and 2203.15556)."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from benchmarks.studies.figures import Array

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


def fit_power_law(count: Array, value: Array) -> PowerLaw:
    """The least-squares curve through (n, L), α in [0.02, 3], A ≥ 0.

    Args:
        count: n > 0, shape [P], P ≥ 3.
        value: shape [P].
    """
    unit, span = float(count.min()), max(float(np.ptp(value)), 1e-9)

    def miss(parameters: Array) -> Array:
        floor, scale, exponent = parameters
        found: Array = (floor + scale * (count / unit) ** -exponent - value) / span
        return found

    low, high = float(value.min()), float(value.max())
    found = min(
        (
            least_squares(
                miss,
                (low - 0.1 * span, high - low, start),
                bounds=([-np.inf, 0, _ALPHA[0]], [np.inf, np.inf, _ALPHA[1]]),
            )
            for start in (0.2, 0.5, 1.0)
        ),
        key=lambda tried: tried.cost,
    )
    floor, scale, exponent = map(float, found.x)
    return PowerLaw(floor, scale * unit**exponent, exponent)
