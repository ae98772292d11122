"""The figures of a slice: each a value, or why there is none, with an interval over whole prompts where it is asked."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from plurality.evaluation.sample import Sample, Slice
from plurality.stats import (
    NoiseFloor,
    UndefinedStatistic,
    brier,
    cluster_bootstrap,
    ece,
    ece_noise_floor,
    l1,
    nll,
    pairwise_accuracy,
    pearson,
    spearman,
)

Array = NDArray[np.float64]
Places = NDArray[np.intp]
Statistic = Callable[[Array, Array], float]
"""Of P(a preferred) and a target, both of shape [n]."""

SMALL: Final = 30
"""Prompts; with fewer the interval is the thing to read, and it is itself a little short."""


def accuracy(probability: Array, label: Array) -> float:
    """`pairwise_accuracy` without its counts."""
    return pairwise_accuracy(probability, label).accuracy


def _disagreement(probability: Array, people: Array) -> float:
    """Does the model know where people disagree: Spearman of 1 − |2P − 1| and 1 − |2p* − 1|."""
    # Rounded: 1 − P is not exact, and a rank must not depend on which answer is written first.
    both = (np.round(1 - np.abs(2 * share - 1), 12) for share in (probability, people))
    return spearman(*both)


def divergence(probability: Array, people: Array) -> float:
    """Mean KL(p* ‖ P) in nats: cross-entropy less the entropy that no model can take away."""
    return max(0.0, nll(probability, people) - nll(people, people))


TO_PEOPLE: Final[Mapping[str, Statistic]] = {
    "pearson": pearson,
    "spearman": spearman,
    "l1": l1,
    "majority_accuracy": accuracy,
    "ece_soft": ece,
    "brier_soft": brier,
    "kl": divergence,
    "disagreement_spearman": _disagreement,
}
"""Against p*. pearson, l1: arXiv 2412.03822, Tables 1 and 2."""

TO_LABELS: Final[Mapping[str, Statistic]] = {
    "accuracy": accuracy,
    "ece": ece,
    "ece_confidence": partial(ece, convention="confidence"),
    "brier": brier,
    "nll": nll,
}
"""Against the labels. accuracy, ece: arXiv 2312.07401, Table 2. Ten bins, two-sided unless named otherwise."""

WITH_INTERVAL: Final = ("pearson", "l1", "accuracy", "ece")


@dataclass(frozen=True, slots=True)
class Figure:
    """One statistic of one slice."""

    value: float | None
    """None where the statistic has no value; never NaN."""
    low: float | None = None
    high: float | None = None
    note: str | None = None
    """Why there is no value, or no interval although one was asked for."""


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """One line of the tables, for one model."""

    group: str
    name: str
    pairs: int
    prompts: int
    with_people: int
    """Pairs whose p* is known: what `people` is computed on."""
    small: bool
    """Fewer than 30 prompts."""
    people: Mapping[str, Figure]
    labels: Mapping[str, Figure]
    noise_floor: NoiseFloor
    """Of `ece`."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are made."""

    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A statistic and the part of a sample that it is computed on."""

    statistic: Statistic
    places: Places
    """Indices of rows, shape [n]."""
    target: Array
    """Of those rows, shape [n]."""
    clusters: Sequence[Hashable]
    """Their prompts."""

    def value(self, probability: Array) -> float:
        """The statistic of P(a preferred) of the whole sample, shape [N]."""
        return self.statistic(probability[self.places], self.target)

    def resampled(self, probability: Array) -> Callable[[Places], float]:
        """The statistic of some of the part's rows, repeats allowed."""
        p = probability[self.places]
        return lambda rows: self.statistic(p[rows], self.target[rows])


def task(sample: Sample, entry: Slice, name: str) -> Task:
    """The statistic of this name on a slice.

    Raises:
        UndefinedStatistic: it needs p*, and no pair of the slice has one.
    """
    to_people = name in TO_PEOPLE
    places = entry.places[sample.known[entry.places]] if to_people else entry.places
    if not len(places):
        raise UndefinedStatistic("no pair has a known p*")
    target = (sample.people if to_people else sample.label)[places]
    return Task((TO_PEOPLE if to_people else TO_LABELS)[name], places, target, [sample.prompts[i] for i in places])


def slice_figures(sample: Sample, entry: Slice, probability: Array, resampling: Resampling | None) -> SliceFigures:
    """Every figure of a slice.

    Args:
        probability: P(a preferred) of the whole sample, shape [N].
        resampling: None for no intervals.
    """
    places = entry.places
    prompts = len({sample.prompts[place] for place in places})
    return SliceFigures(
        group=entry.group,
        name=entry.name,
        pairs=len(places),
        prompts=prompts,
        with_people=int(sample.known[places].sum()),
        small=prompts < SMALL,
        people={name: _figure(sample, entry, name, probability, resampling) for name in TO_PEOPLE},
        labels={name: _figure(sample, entry, name, probability, resampling) for name in TO_LABELS},
        noise_floor=ece_noise_floor(probability[places]),
    )


def _figure(sample: Sample, entry: Slice, name: str, probability: Array, resampling: Resampling | None) -> Figure:
    try:
        found = task(sample, entry, name)
        value = found.value(probability)
    except UndefinedStatistic as error:
        return Figure(None, note=str(error))
    if resampling is None or name not in WITH_INTERVAL:
        return Figure(value)
    try:
        interval = cluster_bootstrap(
            found.resampled(probability), found.clusters, draws=resampling.draws, seed=resampling.seed
        )
    except UndefinedStatistic as error:
        return Figure(value, note=f"no interval: {error}")
    return Figure(value, interval.low, interval.high)
