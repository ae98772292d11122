"""Means that may be looked at after every value: confidence sequences and tests by betting.

For values X_1, X_2, ... in [−c, c] let μ_i = E[X_i | X_1 ... X_(i−1)]. With a stake λ in (0, 1) a gambler who bets on
positive values has, after t of them, the capital Π (1 + λ X_i / c). As 1 + λμ/c ≤ exp(λμ/c),

    M_t(λ) = Π_{i ≤ t} (1 + λ X_i / c) · exp(−λ Σ_{i ≤ t} μ_i / c)

is a nonnegative supermartingale that starts at 1, and so is W_t = Σ_k w_k M_t(λ_k) for weights that sum to one. By
Ville's inequality P(some t: W_t ≥ 1/α) ≤ α. W falls as the mean (μ_1 + ... + μ_t) / t rises: means where W_t reaches
1/α are excluded, at all t at once. The same for −X gives the other side, each at α / 2.

Sources: capital as evidence, Waudby-Smith and Ramdas (arXiv 2010.09686, §4, Theorem 3); means that move and the step
1 + x ≤ exp(x), Howard et al. (arXiv 1810.08240, Theorem 4) and, for the difference of two forecasters' scores, Choe and
Ramdas (arXiv 2110.00115, Theorem 2), whose bound log(1 + λx) ≥ λx − (−log(1 − λ) − λ)x² is not needed here: the product
itself is kept, which is never looser. Stakes are mixed over a fixed grid, so nothing is estimated from the data.

What is assumed: each value is bounded, and counted once, in an order that does not look at it. Not assumed: one
distribution, one mean, or a number of values fixed beforehand. What is covered is the mean of the μ_i so far; values
that share something (votes on one prompt) must be made into one value first, else the μ_i are about the prompts
already seen. The intervals are not intersected over time: that would need a mean that never moves.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, at_least_one, vectors

_SCALES = np.arange(16)
STAKES: Array = np.ldexp(0.8, -_SCALES)
"""λ: near the best fixed one, mean / variance, to within a factor of √2, from 0.8 down to 2e-5."""
_PREFERENCE = np.minimum(1.0, 0.5 ** (_SCALES - 5.0))
_LOG_WEIGHTS: Array = np.log(_PREFERENCE / _PREFERENCE.sum())
_NEWTON_STEPS = 8


@dataclass(frozen=True, slots=True)
class SequentialMean:
    """What all values so far say about their mean. It may be looked at, and acted upon, at any time."""

    estimate: float
    low: float
    high: float
    e_value: float
    """Mean of both sides' capital: evidence against a mean of zero. Its expectation is at most 1 where that holds."""
    p_value: float
    """Smallest so far, two-sided, always valid; at most α once the interval has excluded zero."""
    count: int


def log_capital(values: ArrayLike, *, reach: float = 1.0) -> Array:
    """Log of the capital that bets on positive values; at most 0 in expectation, before the log, where no mean is.

    Exceeds log(1/α) ever with probability at most α when every μ_i ≤ 0 (module docstring, W_t at μ = 0).

    Args:
        values: shape [..., T], each row in its order of time, in [−reach, reach].
        reach: c, the largest possible size of a value.

    Returns:
        Shape [..., T].

    Raises:
        ValueError: no values, NaN or infinity, a value beyond the reach, a reach that is not positive.
    """
    relative = _relative(values, reach)
    total = np.full(relative.shape, -np.inf)
    for stake, log_weight in zip(STAKES, _LOG_WEIGHTS, strict=True):
        np.logaddexp(total, np.cumsum(np.log1p(stake * relative), axis=-1) + log_weight, out=total)
    return total


def sequential_mean(values: ArrayLike, *, alpha: float, reach: float = 1.0) -> SequentialMean:
    """The interval of the mean of the μ_i so far, and the evidence against zero.

    Args:
        values: shape [T], in their order of time, in [−reach, reach].
        alpha: chance that the interval ever misses, over all T at once.

    Raises:
        ValueError: as `log_capital`, alpha outside (0, 1), or more than one row.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"a vector is needed, not {list(x.shape)}")
    relative = _relative(x, reach)
    count, level = len(x), _level(alpha)
    low, high = (
        float(_lower(np.log1p(np.multiply.outer(STAKES, side)).sum(axis=-1), np.array(count), level))
        for side in (relative, -relative)
    )
    capitals = [log_capital(side) for side in (relative, -relative)]
    # A capital beyond the largest float is as good as that.
    e_value = math.fsum(0.5 * math.exp(min(709.0, float(capital[-1]))) for capital in capitals)
    best = max(float(capital.max()) for capital in capitals)
    return SequentialMean(float(x.mean()), reach * low, -reach * high, e_value, min(1.0, 2.0 * math.exp(-best)), count)


def cluster_means(values: ArrayLike, clusters: Sequence[Hashable], *, size: int = 1) -> Array:
    """One value a cluster, the mean of its first `size`: what to give to the sequences where values share a cluster.

    A cluster is counted once, when it is full, and never again: what comes later, and clusters that are not full, are
    left out. So more values only ever append: the result of a prefix is a prefix of the result, and looking after
    every value is looking after some of the clusters. Where clusters are independent and fill in an order that does not
    depend on their values, each mean is a fresh one given those before.

    Args:
        values: shape [N], in their order of time.
        clusters: the cluster (prompt) of each, length N.

    Returns:
        Shape [number of full clusters], in the order in which they were filled; may be empty.

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, size below one.
    """
    (x,) = vectors(values=values)
    at_least_one(size=size)
    if len(clusters) != len(x):
        raise ValueError(f"length mismatch: values [{len(x)}], clusters [{len(clusters)}]")
    seen: dict[Hashable, list[float]] = {}
    means: list[float] = []
    for value, cluster in zip(x.tolist(), clusters, strict=True):
        members = seen.setdefault(cluster, [])
        members.append(value)
        if len(members) == size:
            mean = math.fsum(members) / size
            means.append(min(max(members), max(min(members), mean)))  # rounding may carry it past them
    return np.array(means, dtype=np.float64)


def _relative(values: ArrayLike, reach: float) -> Array:
    x = np.asarray(values, dtype=np.float64)
    if not 0 < reach < math.inf:
        raise ValueError(f"reach {reach} is not positive and finite")
    if x.ndim == 0 or not x.size:
        raise ValueError(f"empty: values {list(x.shape)}")
    if not np.isfinite(x).all():
        raise ValueError("values hold NaN or infinity")
    if np.abs(x).max() > reach:
        raise ValueError(f"values go beyond the reach of {reach}: {np.abs(x).max()}")
    return x / reach


def _level(alpha: float) -> float:
    """log(2/α): what one side's capital has to reach."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    return math.log(2 / alpha)


def _lower(gains: Array, steps: Array, level: float) -> Array:
    """The mean m at which Σ_k w_k exp(gains_k − λ_k t m) is exp(level); gains [..., K], steps t [...].

    Newton's method on the log of that sum, which is convex and falls with m, from a point left of the root: it stays
    left of it, so that a step too few would only be cautious.
    """
    gains = gains + _LOG_WEIGHTS
    pull = STAKES * np.asarray(steps)[..., None]
    mean = ((gains - level) / pull).max(axis=-1)
    for _ in range(_NEWTON_STEPS):
        terms = gains - pull * mean[..., None]
        top = terms.max(axis=-1, keepdims=True)
        shares = np.exp(terms - top)
        total = shares.sum(axis=-1)
        mean = mean + (np.log(total) + top[..., 0] - level) * total / (shares * pull).sum(axis=-1)
    found: Array = np.maximum(-1.0, mean)
    return found
