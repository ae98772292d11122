"""The simulated population: annotators of known taste, so that every pair's true preference is known exactly.

Annotator k's utility of an answer is u_k = w_k · attributes; they choose a over b with probability
σ((u_k(a) − u_k(b)) / temperature). p* is the mean of that over the population: no sampling, no estimate.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ATTRIBUTES: Final = ("correct", "warm", "formal", "cautious", "funny", "detailed", "fitting")
"""What annotators care about. `correct` is shared by all; the others are matters of taste."""

_GROUPS: Final = {
    #              share  correct  warm  formal cautious funny detailed fitting
    "friendly": (0.40, (3.4, 2.2, -0.5, 0.7, 0.9, 1.0, 2.6)),
    "careful": (0.35, (4.2, 1.2, 0.9, 2.2, -0.8, 1.4, 3.0)),
    "brisk": (0.25, (3.8, -0.6, 0.2, -1.2, 0.9, -1.6, 2.0)),
}


@dataclass(frozen=True, slots=True)
class Population:
    """`weights_KA`: K annotators by A attributes."""

    weights_KA: Array
    temperature: float = 1.0

    def choice_probabilities(self, attributes_a: Array, attributes_b: Array) -> Array:
        """P(k chooses a) of every annotator, shape [K]."""
        gap_K = self.weights_KA @ (attributes_a - attributes_b) / self.temperature
        chosen: Array = 1.0 / (1.0 + np.exp(-gap_K))
        return chosen

    def true_preference(self, attributes_a: Array, attributes_b: Array) -> float:
        """p*: the share of the population that is expected to choose a."""
        return float(self.choice_probabilities(attributes_a, attributes_b).mean())

    def mean_utility(self, attributes: Array) -> float:
        """The true utility: what the population as a whole thinks of an answer."""
        return float(self.weights_KA.mean(axis=0) @ attributes)


def make_population(*, annotators: int = 200, seed: int = 0) -> Population:
    """Annotators of three groups of taste, each a person of their own within it."""
    rng = np.random.default_rng([seed, 1])
    rows: list[Array] = []
    for share, center in _GROUPS.values():
        count = round(share * annotators)
        rows.append(np.array(center) + rng.normal(0.0, 0.35, (count, len(ATTRIBUTES))))
    return Population(np.concatenate(rows))


def attributes(**values: float) -> Array:
    """Build an answer's attribute vector; attributes not named are 0."""
    return np.array([values.get(name, 0.0) for name in ATTRIBUTES])
