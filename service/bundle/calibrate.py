"""Turns a difference of rewards into a preference probability. Pure maths on floats; fitting is offline.

Every calibrator is antisymmetric, P(a,b) + P(b,a) = 1, and monotone in the difference: the order of the responses does
not matter, and a larger reward never gives a smaller probability.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_LARGEST_LOGIT = 1e4
"""σ of it is 1; a power could overflow beyond."""


def sigmoid(x: float) -> float:
    """σ(x) without overflow for any finite x; σ(x) + σ(−x) = 1 to 1e-15."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    tail = math.exp(x)
    return tail / (1.0 + tail)


def expected_disagreement(probability: float) -> float:
    """1 − |2P − 1|: 0 where all would choose alike, 1 where people split evenly (arXiv 2412.03822, eq. 3)."""
    return 1.0 - abs(2.0 * probability - 1.0)


def softmax(values: Sequence[float], *, temperature: float = 1.0) -> list[float]:
    """Plackett-Luce weights exp(r_i/T) / Σ exp(r_j/T): the probability that each is the best of all."""
    top = max(values)
    weights = [math.exp((value - top) / temperature) for value in values]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def group_advantages(rewards: Sequence[float], *, epsilon: float = 1e-4) -> list[float]:
    """(r − mean) / (std + ε) over one prompt's group, sample std (GRPO, arXiv 2402.03300, as TRL computes it)."""
    count = len(rewards)
    mean = math.fsum(rewards) / count
    variance = math.fsum((reward - mean) ** 2 for reward in rewards) / max(count - 1, 1)
    scale = math.sqrt(variance) + epsilon
    return [(reward - mean) / scale for reward in rewards]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """P(a preferred over b) as a function of Δ = r_a − r_b.

    temperature   σ(Δ/T). Platt scaling and beta calibration without an intercept, which antisymmetry forbids, are this.
    power         σ(sign(Δ)·|Δ/T|^γ): confidence that grows faster or slower with the difference.
    isotonic      straight lines between knots, mirrored; level beyond the last.
    """

    temperature: float = 1.0
    exponent: float = 1.0
    """γ > 0; 1 leaves plain temperature."""
    knots: tuple[tuple[float, float], ...] = ()
    """(|Δ|, P) by rising |Δ| > 0, P in [1/2, 1]; none: not isotonic."""
    sources: Mapping[str, float] = field(default_factory=dict)
    """Temperatures of sources of prompts that have their own."""

    def probability(self, difference: float, source: str | None = None) -> float:
        """P(first preferred) from r_first − r_second.

        Args:
            source: where the prompt is from; one that the calibration does not know gets the pooled temperature.
        """
        if self.knots:
            return 1.0 - self._level(-difference) if difference < 0 else self._level(difference)
        relative = difference / self.temperature_of(source)
        return sigmoid(relative if self.exponent == 1.0 else self._powered(relative))

    def temperature_of(self, source: str | None) -> float:
        """The source's own temperature, else the pooled one."""
        return self.sources.get(source, self.temperature) if source is not None else self.temperature

    def _powered(self, relative: float) -> float:
        size = abs(relative)
        if size == 0.0:
            return 0.0
        logarithm = min(self.exponent * math.log(size), math.log(_LARGEST_LOGIT))
        return math.copysign(math.exp(logarithm), relative)

    def _level(self, size: float) -> float:
        """P at |Δ|: on the line from the knot below (or from (0, 1/2)) to the one above."""
        place = bisect_left(self.knots, (size, -math.inf))
        if place == len(self.knots):
            return self.knots[-1][1]
        right, above = self.knots[place]
        left, below = self.knots[place - 1] if place else (0.0, 0.5)
        return below + (above - below) * ((size - left) / (right - left))


UNCALIBRATED = Calibrator()
"""The raw Bradley-Terry probability σ(Δ)."""
