"""The same texts on two or more versions: what moved, and which predicts people better. Pure.

`/rm/v1/compare` and `plurality experiment compare` both stand on this file.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.stats import (
    NoiseFloor,
    UndefinedStatistic,
    brier,
    cluster_bootstrap,
    ece,
    ece_noise_floor,
    l1,
    nll,
    paired_cluster_bootstrap,
    pairwise_accuracy,
    pearson,
    spearman,
)
from service.bundle.calibrate import Calibrator

Array = NDArray[np.float64]
Places = NDArray[np.intp]
Statistic = Callable[[Array, Array], float]
OF_LABELS: Mapping[str, Statistic] = {
    "accuracy": lambda p, y: pairwise_accuracy(p, y).accuracy,
    "ece": ece,
    "brier": brier,
    "nll": nll,
}
"""Of P(a preferred) and labels."""
OF_SHARES: Mapping[str, Statistic] = {"pearson": pearson, "l1": l1}
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


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95 % interval over resampled prompts, which holds for one look."""

    estimate: float
    low: float | None = None
    high: float | None = None
    note: str | None = None
    """Why there is no interval."""


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version against people, on pairs that every version has scored."""

    name: str
    labeled: int
    voted: int
    figures: Mapping[str, Figure]
    """accuracy, ece, brier, nll of the labels; pearson, l1 of the shares; those that have a value."""
    ece_noise_floor: NoiseFloor | None
    """ECE of a perfectly calibrated version: below its `high`, `ece` says nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Another version beside the first."""

    first: str
    other: str
    items: int
    pairs: int
    """Scored by both; only these count."""
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
class _Table:
    """What every version has scored."""

    prompts: Sequence[Hashable]
    """Of the items, shape [I]."""
    items: Places
    pairs: Places
    contexts: Sequence[Hashable]
    """Of all pairs, shape [P]."""
    draws: int
    seed: int


def compare(
    versions: Sequence[VersionScores], prompts: Sequence[Hashable], pairs: Pairs, *, draws: int = 1000, seed: int = 0
) -> Comparison:
    """All figures; the first version is what the others are compared with.

    Args:
        prompts: of each item, shape [I]: items and pairs of one prompt are resampled together.
        draws: resamples behind each interval.
    """
    known = np.all([np.isfinite(version.rewards) for version in versions], axis=0)
    table = _Table(
        prompts=prompts,
        items=np.flatnonzero(known),
        pairs=np.flatnonzero(known[pairs.first] & known[pairs.second]),
        contexts=[prompts[place] for place in pairs.first],
        draws=draws,
        seed=seed,
    )
    probability = [_probabilities(version, pairs) for version in versions]
    figures = [_figures(v.name, p, pairs, table) for v, p in zip(versions, probability, strict=True)]
    others = [
        _difference((versions[0], probability[0]), (versions[place], probability[place]), pairs, table)
        for place in range(1, len(versions))
    ]
    return Comparison(figures, others, len(known) - len(table.items))


def _probabilities(version: VersionScores, pairs: Pairs) -> Array:
    reward_diffs = version.rewards[pairs.first] - version.rewards[pairs.second]
    found = [
        version.calibrator.probability(float(reward_diff), source) if np.isfinite(reward_diff) else np.nan
        for reward_diff, source in zip(reward_diffs, pairs.sources, strict=True)
    ]
    return np.array(found, dtype=np.float64)


def _targets(pairs: Pairs, table: _Table) -> list[tuple[str, Statistic, Array, Places]]:
    """(name, statistic, what it is compared with, rows) of every figure that has rows."""
    found = []
    for statistics, truth in ((OF_LABELS, pairs.label), (OF_SHARES, pairs.share)):
        rows = table.pairs[np.isfinite(truth[table.pairs])]
        if len(rows):
            found += [(name, statistic, truth, rows) for name, statistic in statistics.items()]
    return found


def _figures(name: str, probability: Array, pairs: Pairs, table: _Table) -> VersionFigures:
    figures: dict[str, Figure] = {}
    for statistic, function, truth, rows in _targets(pairs, table):
        of = _of(function, probability, truth)
        if figure := _interval(of, None, rows, table.contexts, table):
            figures[statistic] = figure
    labeled = table.pairs[np.isfinite(pairs.label[table.pairs])]
    floor = ece_noise_floor(probability[labeled]) if len(labeled) else None
    return VersionFigures(name, len(labeled), int(np.isfinite(pairs.share[table.pairs]).sum()), figures, floor)


def _difference(
    first: tuple[VersionScores, Array], other: tuple[VersionScores, Array], pairs: Pairs, table: _Table
) -> Difference:
    (one, p), (two, q) = first, other
    reward_diffs = [version.rewards[pairs.first] - version.rewards[pairs.second] for version in (one, two)]
    signs = np.sign(reward_diffs)
    alike = np.where(signs[0] == signs[1], 1.0, 0.0)
    moved = np.abs(q - p)
    shift = two.rewards / two.calibrator.temperature - one.rewards / one.calibrator.temperature
    differences: dict[str, Figure] = {}
    for name, function, truth, rows in _targets(pairs, table):
        if figure := _interval(_of(function, q, truth), _of(function, p, truth), rows, table.contexts, table):
            differences[name] = figure
    return Difference(
        first=one.name,
        other=two.name,
        items=len(table.items),
        pairs=len(table.pairs),
        agreement=_interval(_mean(alike), None, table.pairs, table.contexts, table),
        flips=int((signs[0] * signs[1] < 0)[table.pairs].sum()),
        rank_correlation=_interval(_of(spearman, one.rewards, two.rewards), None, table.items, table.prompts, table),
        reward_shift=_interval(_mean(shift), None, table.items, table.prompts, table),
        probability_shift=_interval(_mean(moved), None, table.pairs, table.contexts, table),
        probability_shift_p95=float(np.quantile(moved[table.pairs], 0.95)) if len(table.pairs) else None,
        differences=differences,
    )


def _of(function: Statistic, values: Array, truth: Array) -> Callable[[Places], float]:
    return lambda rows: function(values[rows], truth[rows])


def _mean(values: Array) -> Callable[[Places], float]:
    return lambda rows: float(np.mean(values[rows]))


def _interval(
    statistic: Callable[[Places], float],
    less: Callable[[Places], float] | None,
    rows: Places,
    clusters: Sequence[Hashable],
    table: _Table,
) -> Figure | None:
    """The statistic on rows, less another on the same; None where it has no value on them."""
    if not len(rows):
        return None

    def on(chosen: Callable[[Places], float]) -> Callable[[Places], float]:
        return lambda drawn: chosen(rows[drawn])

    try:
        estimate = statistic(rows) - (less(rows) if less else 0.0)
    except UndefinedStatistic:
        return None
    asked = {"draws": table.draws, "seed": table.seed}
    names = [clusters[row] for row in rows]
    try:
        if less is None:
            found = cluster_bootstrap(on(statistic), names, **asked)
        else:
            found = paired_cluster_bootstrap(on(statistic), on(less), names, **asked)
    except UndefinedStatistic as error:
        return Figure(estimate, note=str(error))
    return Figure(estimate, found.low, found.high)
