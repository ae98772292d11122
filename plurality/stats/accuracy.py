"""How often the preferred answer is the one that people prefer."""

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, UndefinedStatistic, fractions


def pairwise_accuracy(probability: ArrayLike, label: ArrayLike) -> float:
    """Share of decided labels on whose side P is; P = 1/2 counts half (arXiv 2312.07401, Table 2: avg accuracy).

    A label of exactly one half is not decided: nobody can be right about it.

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
    return float(np.mean(correctness(p, y)[decided]))


def correctness(probability: ArrayLike, label: ArrayLike) -> Array:
    """1 where P is on the label's side, 0 where it is on the other, 1/2 where either is undecided; shape [N].

    Arguments and errors as `pairwise_accuracy`; a label of one half is no error.
    """
    p, y = fractions(probability=probability, label=label)
    right: Array = 0.5 + 0.5 * np.sign(p - 0.5) * np.sign(y - 0.5)
    return right
