"""What people's votes say of two versions: each one's figures, and their differences on the same votes. Pure.

Accuracy, Brier score and log loss are differences of bounded values, one a prompt, with intervals that may be looked at
at any time (`stats.sequential`). ECE, Pearson and L1 are no means: their bootstrap intervals hold for one look.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from plurality.stats import NoiseFloor, ece_noise_floor
from plurality.stats.paired import STATISTICS, Resampling, anytime_difference, difference, figure
from service.experiments.rows import Array, Counts, Rows, by_pair, paired_rows
from service.feedback.records import Judged


@dataclass(frozen=True, slots=True)
class VersionFigures:
    """One version against the votes. None where the votes at hand give the figure no value."""

    version: str
    accuracy: float | None
    """Over decided votes; a prediction of 1/2 counts half."""
    nll: float | None
    """Nats a vote, not cut."""
    brier: float | None
    ece: float | None
    """Two-sided, 10 bins, over votes."""
    ece_noise_floor: NoiseFloor | None
    """What `ece` would be of a perfectly calibrated version: below its `high`, `ece` says nothing."""
    pearson: float | None
    """Of P and the share of votes, over pairs that two or more people judged (arXiv 2412.03822)."""
    l1: float | None
    """Mean |P − share of votes|, over the same pairs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Treatment less control on the same votes."""

    estimate: float
    low: float
    high: float
    p_value: float | None
    """Two-sided, of no difference."""
    units: int
    """Prompts behind a peekable difference, rows (votes, pairs) behind another."""
    peekable: bool
    """Whether the interval holds at every look at once, or only for a single look decided on beforehand."""
    e_value: float | None = None
    """Evidence against no difference, of peekable differences."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Of accuracy and Pearson more is better, of the others less. None where there is no interval."""

    accuracy: Difference | None
    brier: Difference | None
    nll: Difference | None
    """Of P cut to [0.01, 0.99]."""
    ece: Difference | None
    pearson: Difference | None
    l1: Difference | None


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison of two versions."""

    control: VersionFigures
    treatment: VersionFigures
    differences: Differences
    counts: Counts
    alpha: float
    """Each interval is of level 1 − alpha."""
    votes_per_prompt: int
    """A prompt enters the peekable differences when it has so many votes, with their mean, once."""


def build_report(
    judged: Sequence[Judged],
    *,
    control: str,
    treatment: str,
    alpha: float = 0.05,
    votes_per_prompt: int = 1,
    draws: int = 400,
) -> Report:
    """Compare two versions on the votes that both predicted. The same votes give the same report.

    Args:
        judged: in any order; what lacks a prediction or holds a NaN is left out and counted.
        control: digest of the version that is measured against.
        treatment: digest of the other.
        alpha: chance that an interval misses; of a peekable one, ever.
        votes_per_prompt: fixed before the first vote: 1 for live traffic, the size of the panel where one votes.
        draws: of the bootstrap and of the noise floor.

    Raises:
        ValueError: both versions are one, alpha outside (0, 1), votes_per_prompt or draws below one.
    """
    if control == treatment:
        raise ValueError(f"control and treatment are both {control}: name two versions")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not in (0, 1)")
    if votes_per_prompt < 1 or draws < 1:
        raise ValueError(f"votes_per_prompt {votes_per_prompt} and draws {draws} must be at least 1")
    rows, counts = paired_rows(judged, control=control, treatment=treatment)
    shared = by_pair(rows)
    once = Resampling(draws, level=1 - alpha)
    return Report(
        control=_figures(control, rows.control, rows.share, shared.control, shared.share, draws),
        treatment=_figures(treatment, rows.treatment, rows.share, shared.treatment, shared.share, draws),
        differences=Differences(
            *(_peekable(name, rows, alpha, votes_per_prompt) for name in ("accuracy", "brier", "nll")),
            *(_once(name, table, once) for name, table in (("ece", rows), ("pearson", shared), ("l1", shared))),
        ),
        counts=counts,
        alpha=alpha,
        votes_per_prompt=votes_per_prompt,
    )


def _figures(version: str, p: Array, y: Array, pair_p: Array, pair_y: Array, draws: int) -> VersionFigures:
    votes = {name: figure(STATISTICS[name], p, y).estimate for name in ("accuracy", "nll", "brier", "ece")}
    shares = {name: figure(STATISTICS[name], pair_p, pair_y).estimate for name in ("pearson", "l1")}
    floor = ece_noise_floor(p, draws=draws) if len(p) else None
    return VersionFigures(version=version, **votes, ece_noise_floor=floor, **shares)


def _peekable(name: str, rows: Rows, alpha: float, votes_per_prompt: int) -> Difference | None:
    found = anytime_difference(
        name, rows.treatment, rows.control, rows.share, rows.prompts, alpha=alpha, per_cluster=votes_per_prompt
    )
    if found is None:
        return None
    return Difference(found.estimate, found.low, found.high, found.p_value, found.count, True, found.e_value)


def _once(name: str, rows: Rows, resampling: Resampling) -> Difference | None:
    """By bootstrap over whole prompts."""
    found, p_value = difference(STATISTICS[name], rows.treatment, rows.control, rows.share, rows.prompts, resampling)
    if found.estimate is None or found.low is None or found.high is None:
        return None
    return Difference(found.estimate, found.low, found.high, p_value, len(rows.share), False)
