"""The same texts on two or more versions: what moved, and which predicts people better. Pure.

`/rm/v1/compare` takes the values; `plurality experiment compare` the intervals too.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.stats import NoiseFloor, ece_noise_floor
from plurality.stats.paired import STATISTICS, Figure, Resampling, difference, figure
from service.bundle.calibrate import Calibrator

Array = NDArray[np.float64]
Places = NDArray[np.intp]
OF_LABELS = ("accuracy", "ece", "brier", "nll")
OF_SHARES = ("pearson", "l1")
"""Of P(a preferred) and shares of votes."""


@dataclass(frozen=True, slots=True)
class VersionScores:
    """One version's rewards of the items."""

    name: str
    rewards: Array
    """Shape [I]; NaN where an item has an error of its own."""
    calibrator: Calibrator


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of items to compare, by index, with people's votes; all arrays of shape [P]."""

    first: Places
    second: Places
    label: Array
    """P(a preferred) as labeled; NaN where nothing is known."""
    share: Array
    """Share of the votes for a; NaN where there are none."""
    sources: Sequence[str | None]

    def at(self, rows: Places) -> "Pairs":
        """Those at these indices."""
        sources = [self.sources[row] for row in rows]
        return Pairs(self.first[rows], self.second[rows], self.label[rows], self.share[rows], sources)


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version against people, on pairs that every version has scored."""

    name: str
    labeled: int
    voted: int
    figures: Mapping[str, Figure]
    """accuracy, ece, brier, nll of the labels; pearson, l1 of the shares; those that have a value."""
    ece_noise_floor: NoiseFloor | None
    """ECE of a perfectly calibrated version: below its `high`, `ece` says nothing. None without intervals."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Another version beside the first."""

    first: str
    other: str
    items: int
    pairs: int
    """Scored by all versions; only these count."""
    agreement: Figure | None
    """Share of pairs that both order alike."""
    flips: int
    """Pairs that they order differently; ties are no flips."""
    rank_correlation: Figure | None
    """Spearman, of the items' rewards."""
    reward_shift: Figure | None
    """Mean of r/T of the other less that of the first: calibrated units."""
    probability_shift: Figure | None
    """Mean |ΔP| of the pairs."""
    probability_shift_p95: float | None
    differences: Mapping[str, Figure]
    """Of each figure: other less first, on the same resampled prompts."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was compared."""

    versions: Sequence[VersionFigures]
    differences: Sequence[Difference]
    items_left_out: int
    """Items that some version could not score."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One version, on what every version has scored: I items and P pairs of them."""

    name: str
    rewards: Array
    """Shape [I]."""
    scaled: Array
    """r/T, shape [I]."""
    order: Array
    """The sign of r_a - r_b, shape [P]."""
    probability: Array
    """P(a preferred), shape [P]."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The items and pairs that every version has scored: indices, votes and prompts."""

    items: Places
    pairs: Pairs
    item_prompts: Sequence[Hashable]
    pair_prompts: Sequence[Hashable]

    def against_people(self) -> Iterator[tuple[str, Array, Places, Sequence[Hashable]]]:
        """(statistic, target, rows, their prompts) of every figure."""
        for names, target in ((OF_LABELS, self.pairs.label), (OF_SHARES, self.pairs.share)):
            rows = np.flatnonzero(np.isfinite(target))
            prompts = [self.pair_prompts[row] for row in rows.tolist()]
            yield from ((name, target[rows], rows, prompts) for name in names)


def compare(
    versions: Sequence[VersionScores],
    prompts: Sequence[Hashable],
    pairs: Pairs,
    *,
    resampling: Resampling | None = None,
) -> Comparison:
    """All figures; the first version is what the others are compared with.

    Args:
        prompts: of each item, shape [I]: items and pairs of one prompt are resampled together.
        resampling: None for values alone: no intervals and no noise floor of ECE, which take hundreds of draws.
    """
    known = np.all([np.isfinite(version.rewards) for version in versions], axis=0)
    items, kept = np.flatnonzero(known), pairs.at(np.flatnonzero(known[pairs.first] & known[pairs.second]))
    by_item, by_pair = ([prompts[item] for item in of.tolist()] for of in (items, kept.first))
    rows = _Rows(items, kept, by_item, by_pair)
    first, *others = sides = [_side(version, rows) for version in versions]
    return Comparison(
        [_figures(side, rows, resampling) for side in sides],
        [_difference(first, other, rows, resampling) for other in others],
        len(known) - len(items),
    )


def _side(version: VersionScores, rows: _Rows) -> _Side:
    rewards = version.rewards[rows.items]
    reward_diffs = version.rewards[rows.pairs.first] - version.rewards[rows.pairs.second]
    asked = zip(reward_diffs.tolist(), rows.pairs.sources, strict=True)
    return _Side(
        name=version.name,
        rewards=rewards,
        scaled=rewards / version.calibrator.temperature,
        order=np.sign(reward_diffs),
        probability=np.array([version.calibrator.probability(*one) for one in asked], dtype=np.float64),
    )


def _figures(side: _Side, rows: _Rows, resampling: Resampling | None) -> VersionFigures:
    found = {
        name: figure(STATISTICS[name], side.probability[places], target, prompts, resampling)
        for name, target, places, prompts in rows.against_people()
    }
    labeled, voted = (np.isfinite(target) for target in (rows.pairs.label, rows.pairs.share))
    floor = ece_noise_floor(side.probability[labeled]) if resampling and labeled.any() else None
    return VersionFigures(side.name, int(labeled.sum()), int(voted.sum()), _with_value(found), floor)


def _difference(first: _Side, other: _Side, rows: _Rows, resampling: Resampling | None) -> Difference:
    p, q = first.probability, other.probability
    differences = {
        name: difference(STATISTICS[name], q[places], p[places], target, prompts, resampling)[0]
        for name, target, places, prompts in rows.against_people()
    }
    between = {
        "agreement": figure(_share_alike, first.order, other.order, rows.pair_prompts, resampling),
        "rank_correlation": figure(STATISTICS["spearman"], first.rewards, other.rewards, rows.item_prompts, resampling),
        "reward_shift": figure(_mean_shift, first.scaled, other.scaled, rows.item_prompts, resampling),
        "probability_shift": figure(STATISTICS["l1"], p, q, rows.pair_prompts, resampling),
    }
    known = _with_value(between)
    return Difference(
        first=first.name,
        other=other.name,
        items=len(rows.items),
        pairs=len(p),
        agreement=known.get("agreement"),
        flips=int((first.order * other.order < 0).sum()),
        rank_correlation=known.get("rank_correlation"),
        reward_shift=known.get("reward_shift"),
        probability_shift=known.get("probability_shift"),
        probability_shift_p95=float(np.quantile(np.abs(q - p), 0.95)) if len(p) else None,
        differences=_with_value(differences),
    )


def _with_value(figures: Mapping[str, Figure]) -> dict[str, Figure]:
    return {name: found for name, found in figures.items() if found.estimate is not None}


def _share_alike(first: Array, other: Array) -> float:
    return float(np.mean(first == other))


def _mean_shift(first: Array, other: Array) -> float:
    return float(np.mean(other - first))
