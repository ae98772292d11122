"""Whether probabilities mean what they say. Labels may be soft: vote fractions instead of 0 and 1.

Two conventions of the same curve. `two-sided` looks at both orders of every pair, (P, y) and (1 − P, 1 − y), with M
bins on [0, 1] (the code of arXiv 2312.07401); `confidence` looks at c = max(P, 1 − P) with M bins on [1/2, 1] (its
formula). Two-sided with an even M equals confidence with M/2: always state which one a figure is.

Bins are ((m − 1)/M, m/M] of c, mirrored for 1 − c, so that the order in which a pair is written never matters. For
the same reason a pair at P = 1/2, where no side is the winner, counts as observed at 1/2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plurality.stats._validate import Array, at_least_one, fractions

Convention = Literal["two-sided", "confidence"]


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """One entry a non-empty bin, by rising prediction."""

    predicted: Array
    """Mean predicted probability in the bin."""
    observed: Array
    """Mean label in the bin."""
    count: Array
    """Values in the bin; with `two-sided` every pair counts twice."""


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """ECE of a perfectly calibrated model on as many pairs with these probabilities."""

    mean: float
    low: float
    """5 % quantile."""
    high: float
    """95 % quantile."""


def reliability_curve(
    probability: ArrayLike, label: ArrayLike, *, bins: int = 10, convention: Convention = "two-sided"
) -> ReliabilityCurve:
    """Mean prediction against mean label by bin (arXiv 1706.04599, §2).

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].
        bins: M, of equal width.

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1], fewer than one bin, unknown
            convention.
    """
    p, y = fractions(probability=probability, label=label)
    at_least_one(bins=bins)
    if convention not in get_args(Convention):
        raise ValueError(f"{convention!r} is none of {', '.join(get_args(Convention))}")
    two_sided = convention == "two-sided"
    grid = bins if two_sided else 2 * bins
    c, y = _winner(p, y)
    place = grid - 1 - _bin_from_top(c, grid)
    if two_sided:
        c, y, place = np.append(1 - c, c), np.append(1 - y, y), np.append(grid - 1 - place, place)
    count = np.bincount(place, minlength=grid).astype(np.float64)
    filled = count > 0
    predicted = np.bincount(place, weights=c, minlength=grid)[filled] / count[filled]
    observed = np.bincount(place, weights=y, minlength=grid)[filled] / count[filled]
    return ReliabilityCurve(predicted, observed, count[filled])


def ece(probability: ArrayLike, label: ArrayLike, *, bins: int = 10, convention: Convention = "two-sided") -> float:
    """Expected Calibration Error: mean |predicted − observed| of the bins, weighted by count.

    Arguments and errors as `reliability_curve`; in [0, 1]. Source: arXiv 2312.07401; 1706.04599, eq. 3.
    """
    curve = reliability_curve(probability, label, bins=bins, convention=convention)
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.count))


def chance_labels(probability: Array, *, draws: int, seed: int) -> Iterator[Array]:
    """Label sets of a perfectly calibrated model: Bernoulli(P) each, shape [N]."""
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        yield (rng.random(len(probability)) < probability).astype(np.float64)


def ece_noise_floor(probability: ArrayLike, *, bins: int = 10, draws: int = 200, seed: int = 0) -> NoiseFloor:
    """What two-sided ECE shows when nothing is wrong: labels drawn from Bernoulli(P) (Bröcker and Smith 2007).

    Args:
        probability: P(a preferred), shape [N].
        draws: simulated label sets.

    Raises:
        ValueError: as `reliability_curve`, or fewer than one draw.
    """
    (p,) = fractions(probability=probability)
    at_least_one(draws=draws)
    found = [ece(p, label, bins=bins) for label in chance_labels(p, draws=draws, seed=seed)]
    low, high = np.quantile(found, [0.05, 0.95])
    return NoiseFloor(float(np.mean(found)), float(low), float(high))


def brier(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean (P − y)², in [0, 1]: proper, also for soft labels (Brier 1950).

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1].
    """
    p, y = fractions(probability=probability, label=label)
    return float(np.mean((p - y) ** 2))


def nll(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean cross-entropy −[y ln P + (1 − y) ln(1 − P)] in nats (arXiv 2412.03822, eq. 1, for soft y).

    P is clipped to [ε, 1 − ε], ε of float64: a certain and wrong prediction costs 36 nats, not infinity.

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1].
    """
    return float(np.mean(log_losses(probability, label)))


def log_losses(probability: ArrayLike, label: ArrayLike) -> Array:
    """The cross-entropy of every pair, shape [N]; arguments and errors as `nll`, which is their mean."""
    p, y = fractions(probability=probability, label=label)
    epsilon = np.finfo(np.float64).eps
    p = np.clip(p, epsilon, 1 - epsilon)
    losses: Array = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return losses


def l1(probability: ArrayLike, fraction: ArrayLike) -> float:
    """Mean |P − p*| to the share p* of people who prefer a, in [0, 1] (arXiv 2412.03822, eq. 2 and Table 2).

    Args:
        probability: P(a preferred), shape [N].
        fraction: p*, shape [N].

    Raises:
        ValueError: length mismatch, empty, NaN or infinity, values outside [0, 1].
    """
    p, q = fractions(probability=probability, fraction=fraction)
    return float(np.mean(np.abs(p - q)))


def _winner(p: Array, y: Array) -> tuple[Array, Array]:
    """Confidence in the predicted winner, and the share that agrees."""
    flip = p < 0.5
    agree = np.where(flip, 1 - y, y)
    return np.where(flip, 1 - p, p), np.where(p == 0.5, 0.5, agree)


def _bin_from_top(c: Array, grid: int) -> NDArray[np.intp]:
    """Bin of every confidence among `grid` bins of both orders' values, 0 the highest; equal values share one."""
    # Quotients, not linspace: a vote share k/M must round as the edge does, to lie below it.
    edges = np.arange(1, grid) / grid
    return np.minimum(grid - 1 - np.searchsorted(edges, c, side="left"), (grid - 1) // 2)
