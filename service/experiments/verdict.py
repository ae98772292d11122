"""Promote, hold or roll back: one decision from a report, the versions' health and fixed rules. Pure.

Promotion needs everything to be there and to speak for it. Whatever is missing or unclear is a reason to hold.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from service.experiments.report import Report

Action = Literal["promote", "hold", "roll_back"]
Criterion = Literal["accuracy", "brier"]


@dataclass(frozen=True, slots=True)
class VersionHealth:
    """How a version served, over the time of the experiment."""

    requests: int
    errors: int
    """Of these, answered with an error of the server's."""
    non_finite: int
    """Scores that were NaN or infinite."""
    p95_s: float | None
    """95 % quantile of the latency in seconds; None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Health:
    """Both versions' health."""

    control: VersionHealth
    treatment: VersionHealth
    shadow: bool = False
    """The treatment answers nobody: its latency compares with nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Fixed before the first vote: a rule chosen after looking voids the report's alpha."""

    criterion: Criterion = "accuracy"
    tolerance: float = 0.0
    """Loss that is accepted, in the criterion's unit: 0 asks for a gain, 0.01 for a loss of less than a point."""
    least_votes: int = 200
    """Decided votes."""
    least_prompts: int = 100
    """Prompts behind the criterion's interval."""
    least_voters: float = 3.0
    """Effective number of voters: below it the verdict would be that of one or two people."""
    most_missing: float = 0.05
    """Share of votes without a valid prediction of either version."""
    ece_tolerance: float = 0.0
    """How much worse the calibration may certainly be."""
    least_requests: int = 200
    """Of each version, before its health is believed."""
    error_excess: float = 0.01
    """How far the treatment's error rate may lie above the control's."""
    slowdown: float = 1.5
    """How many times the control's p95 latency the treatment's may be: a slower one is held. Never rolled back: p95
    moves by chance too."""

    def __post_init__(self) -> None:
        """Refuse rules that could promote on nothing."""
        if self.criterion not in {"accuracy", "brier"}:
            raise ValueError(f"criterion {self.criterion!r} is neither accuracy nor brier")
        if min(self.least_votes, self.least_prompts, self.least_requests) < 1:
            raise ValueError("least_votes, least_prompts and least_requests must be at least 1")
        numbers = (self.tolerance, self.least_voters, self.most_missing, self.ece_tolerance, self.error_excess)
        if not all(math.isfinite(number) and number >= 0 for number in (*numbers, self.slowdown)):
            raise ValueError("tolerances, shares and factors of the rules must be finite and not negative")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do, and why: sentences with figures, never empty."""

    action: Action
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Gain:
    """The criterion's interval, turned so that more is better."""

    low: float
    high: float
    prompts: int
    words: str


def decide(report: Report, health: Health | None, rules: Rules) -> Verdict:
    """The verdict on the treatment.

    Roll back when it is unhealthy, or surely worse. Promote when it is surely better (or surely not worse by more than
    the tolerance), no worse calibrated, and healthy. Otherwise hold. May be asked after every vote: where the versions
    are equal the criterion's interval speaks for either side, ever, with probability at most alpha.
    """
    sick = [] if health is None else list(_sickness(health, rules))
    if sick:
        return Verdict("roll_back", tuple(sick))
    missing = list(_missing(report, rules))
    gain = _gain(report, rules.criterion)
    if gain is None:
        return Verdict("hold", (*missing, f"There is no interval for {rules.criterion} yet."))
    if gain.prompts < rules.least_prompts:
        missing.append(
            f"Too few prompts: {gain.prompts:,} are behind the interval, {rules.least_prompts:,} are needed."
        )
    if missing:
        return Verdict("hold", tuple(missing))
    if gain.low <= -rules.tolerance:
        return _short_of_promotion(gain, rules)
    doubts = [*_calibration_doubts(report, rules), *_health_doubts(health, rules)]
    return Verdict("hold" if doubts else "promote", (gain.words, *doubts, *([] if doubts else _in_favour(report))))


def _short_of_promotion(gain: _Gain, rules: Rules) -> Verdict:
    if gain.high < 0:
        return Verdict("roll_back", (gain.words, "It is surely worse."))
    wanted = (
        f"a loss of more than {rules.tolerance:g} is not excluded" if rules.tolerance else "no gain is not excluded"
    )
    return Verdict("hold", (gain.words, f"Not decided: {wanted}."))


def _sickness(health: Health, rules: Rules) -> Iterator[str]:
    control, treatment = health.control, health.treatment
    if treatment.non_finite:
        yield f"The treatment gave {treatment.non_finite:,} scores that are no finite numbers."
    if min(control.requests, treatment.requests) < rules.least_requests:
        return
    worse, usual = treatment.errors / treatment.requests, control.errors / control.requests
    if worse - usual > rules.error_excess + _chance(control, treatment):
        yield (
            f"The treatment failed {worse:.2%} of {treatment.requests:,} requests, the control {usual:.2%} of "
            f"{control.requests:,}: more than {rules.error_excess:.2%} and chance explain."
        )


def _chance(control: VersionHealth, treatment: VersionHealth) -> float:
    """Three standard errors of the difference of two equal error rates."""
    rate = (control.errors + treatment.errors) / (control.requests + treatment.requests)
    return 3 * math.sqrt(rate * (1 - rate) * (1 / control.requests + 1 / treatment.requests))


def _latency(version: VersionHealth) -> float | None:
    return version.p95_s if version.p95_s is not None and math.isfinite(version.p95_s) else None


def _health_doubts(health: Health | None, rules: Rules) -> Iterator[str]:
    if health is None:
        yield "Nothing is known of the versions' errors and latency."
        return
    for name, version in (("control", health.control), ("treatment", health.treatment)):
        if version.requests < rules.least_requests:
            yield f"The {name} served {version.requests:,} requests, {rules.least_requests:,} are needed."
        elif _latency(version) is None and not health.shadow:
            yield f"The {name}'s latency is not known."
    slow, fast = _latency(health.treatment), _latency(health.control)
    if slow is not None and fast is not None and not health.shadow and slow > rules.slowdown * fast:
        yield (
            f"The treatment's p95 latency is {1e3 * slow:.0f} ms, the control's {1e3 * fast:.0f} ms: more than "
            f"{rules.slowdown:g} times as long."
        )


def _missing(report: Report, rules: Rules) -> Iterator[str]:
    counts = report.counts
    lacking = (
        f"{counts.without_control:,} votes lack the control's prediction, {counts.without_treatment:,} the "
        f"treatment's, {counts.invalid:,} hold a value that is no number in its range"
    )
    if not counts.votes:
        yield f"No vote has predictions of both versions: {lacking}."
        return
    left_out = max(counts.without_control, counts.without_treatment) + counts.invalid
    if left_out > rules.most_missing * (counts.votes + left_out):
        yield f"Predictions are missing: {lacking}; {counts.votes:,} are complete. {rules.most_missing:.0%} may lack."
    if counts.decided < rules.least_votes:
        yield f"Too few votes: {counts.decided:,} decided ones, {rules.least_votes:,} are needed."
    if counts.effective_voters < rules.least_voters:
        yield (
            f"Too few people: of {counts.voters:,} voters one gave {counts.largest_voter_share:.0%} of the votes, as "
            f"if {counts.effective_voters:.1f} had voted equally often; {rules.least_voters:g} are needed."
        )


def _gain(report: Report, criterion: Criterion) -> _Gain | None:
    accuracy = criterion == "accuracy"
    found = report.differences.accuracy if accuracy else report.differences.brier
    if found is None or not all(map(math.isfinite, (found.estimate, found.low, found.high))):
        return None
    sign, shown, unit = (1, "{:+.1f}", "points of accuracy") if accuracy else (-1, "{:+.4f}", "of Brier score")
    low, high = sorted((sign * found.low, sign * found.high))
    figures = [shown.format(100 * x if accuracy else x) for x in (sign * found.estimate, low, high)]
    words = (
        f"The treatment gains {figures[0]} {unit}, between {figures[1]} and {figures[2]} at every look with "
        f"{1 - report.alpha:.0%} confidence, over {found.units:,} prompts."
    )
    return _Gain(low, high, found.units, words)


def _calibration_doubts(report: Report, rules: Rules) -> Iterator[str]:
    difference, figures = report.differences.ece, report.treatment
    if difference is None or figures.ece is None or figures.ece_noise_floor is None:
        yield "There is no interval for the difference of ECE."
    elif not all(map(math.isfinite, (difference.low, figures.ece))):
        yield "The ECE is no finite number."
    elif difference.low > rules.ece_tolerance and figures.ece > figures.ece_noise_floor.high:
        yield (
            f"The treatment is worse calibrated: ECE {figures.ece:.3f}, above its noise floor of "
            f"{figures.ece_noise_floor.high:.3f}, and {difference.low:+.3f} to "
            f"{difference.high:+.3f} from the control's."
        )


def _in_favour(report: Report) -> Iterator[str]:
    yield f"{report.counts.decided:,} decided votes of {report.counts.voters:,} voters."
    yield "Calibration and health are no worse than the rules accept."
