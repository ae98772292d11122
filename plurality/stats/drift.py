"""Whether a window of rewards still looks like the reference set, and whether rising rewards are bought with length.

Of the reference no sample is at hand: its size and some of its quantiles are what a version's manifest states. Both
distances come with the value that they exceed by chance alone: a short window is no drift.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from plurality.stats._validate import Array, UndefinedStatistic, at_least_one, vectors

_LEAST_EXPECTED = 5
"""Values that a bin must be expected to hold for the χ² law to be near (Cochran 1954)."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A sample's size and quantiles.

    Raises:
        ValueError: no values, no quantile, levels outside (0, 1) or not rising, quantiles falling or not finite.
    """

    count: int
    levels: tuple[float, ...]
    values: tuple[float, ...]
    """The quantile of each level; equal ones mean that much of the sample has one value."""

    def __post_init__(self) -> None:
        at_least_one(count=self.count)
        levels, values = vectors(levels=self.levels, values=self.values)
        if levels[0] <= 0 or levels[-1] >= 1 or (np.diff(levels) <= 0).any():
            raise ValueError("levels must rise within (0, 1)")
        if (np.diff(values) < 0).any():
            raise ValueError("quantiles must not fall")

    @classmethod
    def of(cls, quantiles: Mapping[str, float], *, count: int) -> Self:
        """From `{"0.05": value, ...}`, in any order."""
        pairs = sorted((float(level), value) for level, value in quantiles.items())
        return cls(count, tuple(level for level, _ in pairs), tuple(value for _, value in pairs))


def psi(values: ArrayLike, reference: Reference) -> float:
    """Population stability index Σ (p − q) ln(p / q) over the bins between the reference's quantiles, >= 0.

    q is the reference's share of a bin, p the values' share, smoothed: half a value a bin is added, spread as q, so
    that an empty bin is finite. Neighboring bins are merged until each is expected to hold five values of either
    sample. A value that lies on a quantile, or on several equal ones, counts for all bins that touch it, in proportion
    to their q. Rules of thumb of its trade: below 0.1 the same, above 0.2 another population.

    Args:
        values: shape [N], the reference's unit.

    Raises:
        ValueError: empty, NaN or infinity.
        UndefinedStatistic: too few values, or too small a reference, for two bins.
    """
    (x,) = vectors(values=values)
    starts = _bin_starts(reference, len(x))
    q = np.add.reduceat(_masses(reference), starts)
    added = len(q) / 2
    p = (np.add.reduceat(_counts(x, reference), starts) + added * q) / (len(x) + added)
    return max(0.0, float(np.sum((p - q) * np.log(p / q))))


def psi_noise_floor(count: int, reference: Reference, *, alpha: float = 0.001) -> float:
    """What `psi` of `count` values exceeds with probability `alpha` when nothing has drifted.

    Without drift PSI / (1/n + 1/m) is nearly χ² with bins − 1 degrees of freedom, n and m the two sample sizes
    (Yurdakul and Naranjo 2020); its quantile by Wilson and Hilferty 1931. Its mean is (bins − 1)(1/n + 1/m).

    Raises:
        ValueError: count below one, alpha outside (0, 1).
        UndefinedStatistic: as `psi`.
    """
    at_least_one(count=count)
    _check_alpha(alpha)
    freedom = len(_bin_starts(reference, count)) - 1
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + NormalDist().inv_cdf(1 - alpha) * math.sqrt(spread)) ** 3
    return quantile * (1 / count + 1 / reference.count)


def ks(values: ArrayLike, reference: Reference) -> float:
    """Kolmogorov-Smirnov distance sup |F_n − F|, the least that the known quantiles allow, in [0, 1].

    F is known at the quantiles alone. Between two it may be anything that rises, and the distance that no such F can
    escape is attained at a quantile; nothing is interpolated. So it never exceeds the distance to the full sample.

    Raises:
        ValueError: empty, NaN or infinity.
    """
    (x,) = vectors(values=values)
    x = np.sort(x)
    levels, edges = np.array(reference.levels), np.array(reference.values)
    below = np.searchsorted(x, edges, side="left") / len(x)
    upto = np.searchsorted(x, edges, side="right") / len(x)
    return max(0.0, float((levels - upto).max()), float((below - levels).max()))


def ks_noise_floor(count: int, reference: Reference, *, alpha: float = 0.001) -> float:
    """What `ks` of `count` values exceeds with probability at most `alpha` when nothing has drifted.

    Both samples are random: the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990) for each
    at α/2, P(sup |F_n − F| > ε) <= 2 exp(−2 n ε²), and 1/m for quantiles that lie between two values of the reference.
    Holds for every n, m and distribution, ties included.

    Raises:
        ValueError: count below one, alpha outside (0, 1).
    """
    at_least_one(count=count)
    _check_alpha(alpha)
    size = math.log(4 / alpha) / 2
    return math.sqrt(size / count) + math.sqrt(size / reference.count) + 1 / reference.count


@dataclass(frozen=True, slots=True)
class LengthShift:
    """How mean reward and mean length moved between two windows, and what length has to do with it."""

    reward: float
    """Mean reward now less before."""
    length: float
    """Mean length now less before."""
    slope: float
    """Reward per unit of length among answers of one window."""

    @property
    def by_length(self) -> float:
        """The part of `reward` that longer answers earn by being longer: slope × length."""
        return self.slope * self.length


def length_shift(
    rewards_before: ArrayLike, lengths_before: ArrayLike, rewards: ArrayLike, lengths: ArrayLike
) -> LengthShift:
    """Split a rise of the mean reward into what length explains and the rest (Oaxaca 1973, Blinder 1973).

    A correlation of reward and length alone is a trait of the reward model, and a rising reward alone may be a better
    policy. Reward hacking by length is both at once: answers grow, and the reward rises by what that length is worth.
    The slope is the pooled one within the windows (analysis of covariance), so what moved between them is not in it.

    Args:
        rewards_before: shape [N], with `lengths_before` [N], of the earlier window.
        rewards: shape [M], with `lengths` [M], of the later one.

    Raises:
        ValueError: length mismatch, empty, NaN or infinity.
        UndefinedStatistic: lengths are constant in both windows.
    """
    r0, l0 = vectors(rewards_before=rewards_before, lengths_before=lengths_before)
    r1, l1 = vectors(rewards=rewards, lengths=lengths)
    if np.ptp(l0) == 0 and np.ptp(l1) == 0:
        raise UndefinedStatistic("length shift: lengths are constant in both windows")
    reward = np.concatenate([r0 - r0.mean(), r1 - r1.mean()])
    length = np.concatenate([l0 - l0.mean(), l1 - l1.mean()])
    slope = float(np.dot(reward, length) / np.dot(length, length))
    return LengthShift(float(r1.mean() - r0.mean()), float(l1.mean() - l0.mean()), slope)


def _masses(reference: Reference) -> Array:
    """The reference's share of each bin, shape [quantiles + 1]."""
    return np.diff(np.array([0.0, *reference.levels, 1.0]))


def _counts(x: Array, reference: Reference) -> Array:
    """How many values each bin holds, shape [quantiles + 1]; shares of those that touch several."""
    mass, edges = _masses(reference), np.array(reference.values)
    places = np.stack([np.searchsorted(edges, x, side="left"), np.searchsorted(edges, x, side="right")])
    counts = np.zeros(len(mass))
    for (first, last), number in zip(*_distinct(places), strict=True):
        touched = mass[first : last + 1]
        counts[first : last + 1] += number * touched / touched.sum()
    return counts


def _distinct(places: "np.ndarray[tuple[int, int], np.dtype[np.intp]]") -> tuple[list[list[int]], list[int]]:
    pairs, numbers = np.unique(places, axis=1, return_counts=True)
    return pairs.T.tolist(), numbers.tolist()


def _bin_starts(reference: Reference, count: int) -> list[int]:
    """First bins of the merged ones, each with enough expected values of either sample."""
    least = _LEAST_EXPECTED / min(count, reference.count)
    starts, held = [0], 0.0
    mass = _masses(reference).tolist()
    for place, share in enumerate(mass):
        if held >= least:
            starts.append(place)
            held = 0.0
        held += share
    if held < least and len(starts) > 1:
        starts.pop()
    if len(starts) == 1:
        raise UndefinedStatistic(
            f"PSI: {count} values against a reference of {reference.count} do not fill two bins of {_LEAST_EXPECTED}"
        )
    return starts


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha:g}")
