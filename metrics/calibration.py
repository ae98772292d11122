"""Whether probabilities mean what they say. Labels may be soft: vote fractions instead of 0 and 1.

Two conventions of the same curve. `two-sided` looks at both orders of every pair, (P, y) and (1 − P, 1 − y), with M
bins on [0, 1] (the code of arXiv 2312.07401); `confidence` looks at max(P, 1 − P) with M bins on [1/2, 1] (its
formula). Two-sided with an even M equals confidence with M/2: always state which one a figure is.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from metrics._validate import Array, UndefinedStatistic, fractions

Convention = Literal["two-sided", "confidence"]
Binning = Literal["uniform", "quantile"]


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
    probability: ArrayLike,
    label: ArrayLike,
    *,
    bins: int = 10,
    convention: Convention = "two-sided",
    binning: Binning = "uniform",
) -> ReliabilityCurve:
    """Mean prediction against mean label by bin.

    Args:
        probability: P(a preferred), shape [N].
        label: share that preferred a, shape [N].
        bins: M. `uniform`: of equal width; `quantile`: of equal count.

    Raises:
        ValueError: bad input, or fewer than one bin.
    """
    p, y = fractions(probability=probability, label=label)
    if bins < 1:
        raise ValueError("at least one bin is needed")
    p, y = _both_orders(p, y) if convention == "two-sided" else _confidence(p, y)
    place = _bin_of(p, bins, 0.0 if convention == "two-sided" else 0.5, binning)
    count = np.bincount(place, minlength=bins).astype(np.float64)
    filled = count > 0
    predicted = np.bincount(place, weights=p, minlength=bins)[filled] / count[filled]
    observed = np.bincount(place, weights=y, minlength=bins)[filled] / count[filled]
    return ReliabilityCurve(predicted, observed, count[filled])


def ece(
    probability: ArrayLike,
    label: ArrayLike,
    *,
    bins: int = 10,
    convention: Convention = "two-sided",
    binning: Binning = "uniform",
) -> float:
    """Expected Calibration Error: mean |predicted − observed| of the bins, weighted by count (arXiv 2312.07401, §3)."""
    curve = reliability_curve(probability, label, bins=bins, convention=convention, binning=binning)
    return float(np.average(_gaps(curve), weights=curve.count))


def ace(probability: ArrayLike, label: ArrayLike, *, bins: int = 10, convention: Convention = "two-sided") -> float:
    """Average Calibration Error: mean |predicted − observed| of the non-empty bins, unweighted."""
    return float(np.mean(_gaps(reliability_curve(probability, label, bins=bins, convention=convention))))


def mce(probability: ArrayLike, label: ArrayLike, *, bins: int = 10, convention: Convention = "two-sided") -> float:
    """Maximum Calibration Error: the largest |predicted − observed| of the bins."""
    return float(np.max(_gaps(reliability_curve(probability, label, bins=bins, convention=convention))))


def ece_noise_floor(
    probability: ArrayLike,
    *,
    bins: int = 10,
    convention: Convention = "two-sided",
    draws: int = 200,
    seed: int = 0,
) -> NoiseFloor:
    """What ECE shows when nothing is wrong: labels drawn from the very probabilities.

    Args:
        probability: P(a preferred), shape [N].
        draws: simulated label sets.
    """
    (p,) = fractions(probability=probability)
    rng = np.random.default_rng(seed)
    found = [ece(p, (rng.random(len(p)) < p).astype(float), bins=bins, convention=convention) for _ in range(draws)]
    low, high = np.quantile(found, [0.05, 0.95])
    return NoiseFloor(float(np.mean(found)), float(low), float(high))


def brier(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean (P − y)²: proper, also for soft labels."""
    p, y = fractions(probability=probability, label=label)
    return float(np.mean((p - y) ** 2))


def nll(probability: ArrayLike, label: ArrayLike) -> float:
    """Mean cross-entropy −[y ln P + (1 − y) ln(1 − P)] in nats.

    Raises:
        UndefinedStatistic: a probability is 0 or 1 where the label says otherwise: the loss is infinite.
    """
    p, y = fractions(probability=probability, label=label)
    if (((p == 0) & (y > 0)) | ((p == 1) & (y < 1))).any():
        raise UndefinedStatistic("nll: a probability of exactly 0 or 1 is contradicted by its label")
    positive = np.where(y > 0, y * np.log(np.where(y > 0, p, 1.0)), 0.0)
    negative = np.where(y < 1, (1 - y) * np.log1p(-np.where(y < 1, p, 0.0)), 0.0)
    return float(-np.mean(positive + negative))


def l1(probability: ArrayLike, fraction: ArrayLike) -> float:
    """Mean |P − p*| to the share of people who prefer a (arXiv 2412.03822, §5)."""
    p, q = fractions(probability=probability, fraction=fraction)
    return float(np.mean(np.abs(p - q)))


def _both_orders(p: Array, y: Array) -> tuple[Array, Array]:
    return np.concatenate([p, 1 - p]), np.concatenate([y, 1 - y])


def _confidence(p: Array, y: Array) -> tuple[Array, Array]:
    flip = p < 0.5
    return np.where(flip, 1 - p, p), np.where(flip, 1 - y, y)


def _bin_of(p: Array, bins: int, low: float, binning: Binning) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Bin of every value: ((m − 1)/M, m/M], the lowest bin closed below."""
    if binning == "quantile":
        rank = np.argsort(np.argsort(p, kind="stable"), kind="stable")
        return (rank * bins // len(p)).astype(np.intp)
    edges = np.linspace(low, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, p, side="left")


def _gaps(curve: ReliabilityCurve) -> Array:
    return np.abs(curve.predicted - curve.observed)
