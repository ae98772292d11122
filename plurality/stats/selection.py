"""How good the answer is that a reward model picks from n."""

import math

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, vectors


def best_of_n(reward: ArrayLike, value: ArrayLike) -> Array:
    """Expected value of the answer with the highest reward among n drawn without replacement, for n = 1 ... K.

    Exact, without sampling: of K answers the one of rank k (1 the lowest reward) wins C(k − 1, n − 1) of the C(K, n)
    draws; answers of one reward share theirs. n = 1 is the mean: no selection. Any monotone map of the rewards gives
    the same: calibration cannot change it. (Rejection sampling of arXiv 2312.07401, §4.3, is n = 4.)

    Args:
        reward: of K answers to one prompt, shape [K].
        value: what each is worth, in any unit, shape [K].

    Returns:
        Shape [K], entry n − 1 for n.

    Raises:
        ValueError: length mismatch, empty, NaN or infinity.
    """
    r, v = vectors(reward=reward, value=value)
    count = len(r)
    _, group = np.unique(r, return_inverse=True)
    shared = np.bincount(group, weights=v) / np.bincount(group)
    ordered = shared[np.sort(group)]
    chances = np.array([[math.comb(k, n - 1) / math.comb(count, n) for k in range(count)] for n in range(1, count + 1)])
    found: Array = chances @ ordered
    return found
