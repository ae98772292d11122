"""The figures of a slice: each a value, or why there is none, with an interval over whole prompts where it is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from plurality.evaluation.sample import Places, Sample, Slice
from plurality.stats import BrierParts, NoiseFloor, ace, brier_parts, ece, ece_noise_floor, mce, nll, spearman
from plurality.stats.paired import STATISTICS, Figure, Resampling, Statistic, figure

Array = NDArray[np.float64]

SMALL: Final = 30
"""Prompts; with fewer the interval is the thing to read, and it is itself a little short."""


def _disagreement(probability: Array, people: Array) -> float:
    """Does the model know where people disagree: Spearman of 1 − |2P − 1| and 1 − |2p* − 1|."""
    # Rounded: 1 − P is not exact, and a rank must not depend on which answer is written first.
    both = (np.round(1 - np.abs(2 * share - 1), 12) for share in (probability, people))
    return spearman(*both)


def divergence(probability: Array, people: Array) -> float:
    """Mean KL(p* ‖ P) in nats: cross-entropy less the entropy that no model can take away."""
    return max(0.0, nll(probability, people) - nll(people, people))


TO_PEOPLE: Final[Mapping[str, Statistic]] = {
    **{name: STATISTICS[name] for name in ("pearson", "spearman", "l1")},
    "majority_accuracy": STATISTICS["accuracy"],
    "ece_soft": STATISTICS["ece"],
    "brier_soft": STATISTICS["brier"],
    "kl": divergence,
    "disagreement_spearman": _disagreement,
}
"""Against p*. pearson, l1: arXiv 2412.03822, Tables 1 and 2."""

TO_LABELS: Final[Mapping[str, Statistic]] = {
    **{name: STATISTICS[name] for name in ("accuracy", "ece")},
    "ece_confidence": partial(ece, convention="confidence"),
    "ece_adaptive": partial(ece, binning="quantile"),
    "ace": ace,
    "mce": mce,
    **{name: STATISTICS[name] for name in ("brier", "nll")},
}
"""Against the labels. accuracy, ece: arXiv 2312.07401, Table 2. Ten bins, two-sided unless named otherwise."""

WITH_INTERVAL: Final = ("pearson", "l1", "accuracy", "ece")


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
    brier_parts: BrierParts


def compared(sample: Sample, entry: Slice, name: str) -> tuple[Statistic, Places, Array]:
    """The statistic of this name, the rows of a slice that have its target, and that target: p* or the label."""
    if name in TO_LABELS:
        return TO_LABELS[name], entry.places, sample.label[entry.places]
    places = entry.places[sample.known[entry.places]]
    return TO_PEOPLE[name], places, sample.people[places]


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
        brier_parts=brier_parts(probability[places], sample.label[places]),
    )


def _figure(sample: Sample, entry: Slice, name: str, probability: Array, resampling: Resampling | None) -> Figure:
    statistic, places, target = compared(sample, entry, name)
    if not len(places):
        return Figure(None, note="no pair has a known p*")
    prompts = [sample.prompts[place] for place in places]
    found = figure(statistic, probability[places], target, prompts, resampling if name in WITH_INTERVAL else None)
    return replace(found, note=f"no interval: {found.note}") if found.note and found.estimate is not None else found
