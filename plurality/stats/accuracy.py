"""How often the preferred answer is the one that people prefer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import UndefinedStatistic, fractions


@dataclass(frozen=True, slots=True)
class PairwiseAccuracy:
    """Accuracy over the decided pairs."""

    accuracy: float
    decided: int
    ties: int
    """Pairs whose label is exactly one half: nobody can be right about them."""


def pairwise_accuracy(probability: ArrayLike, label: ArrayLike) -> PairwiseAccuracy:
    """Share of decided labels on whose side P is; P = 1/2 counts half (arXiv 2312.07401, Table 2: avg accuracy).

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1].
        UndefinedStatistic: every label is a tie.
    """
    p, y = fractions(probability=probability, label=label)
    decided = y != 0.5
    if not decided.any():
        raise UndefinedStatistic("accuracy: every label is a tie")
    side = np.sign(p - 0.5)[decided] * np.sign(y - 0.5)[decided]
    return PairwiseAccuracy(float(np.mean(0.5 + 0.5 * side)), int(decided.sum()), int((~decided).sum()))
