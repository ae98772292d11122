"""From a difference of rewards to a preference probability. Pure maths on floats; fitting is offline.

P(a preferred over b) = σ((r_a − r_b) / T): antisymmetric, P(a,b) + P(b,a) = 1, and monotone in the difference.
"""

import math
from collections.abc import Sequence


def sigmoid(x: float) -> float:
    """σ(x) without overflow for any finite x; σ(x) + σ(−x) = 1 to 1e-15."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    tail = math.exp(x)
    return tail / (1.0 + tail)


def preference_probability(difference: float, *, temperature: float = 1.0) -> float:
    """P(first preferred) from r_first − r_second; T = 1 is the raw Bradley-Terry probability."""
    return sigmoid(difference / temperature)


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
