"""Tests of service/experiments/verdict.py."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plurality.stats import NoiseFloor
from service.experiments.report import Difference, Differences, Report, VersionFigures, build_report
from service.experiments.rows import Counts
from service.experiments.verdict import Health, Rules, Verdict, VersionHealth, decide
from tests.service.experiments.voting import NEW, OLD, judged, population

RULES = Rules()
WELL = VersionHealth(requests=10_000, errors=3, non_finite=0, p95_s=0.1)
HEALTH = Health(WELL, WELL)
NAN = float("nan")


def figures(version: str) -> VersionFigures:
    """A version that is well calibrated."""
    return VersionFigures(version, 0.7, 0.6, 0.2, 0.02, NoiseFloor(0.02, 0.01, 0.03), 0.6, 0.2)


def difference(low: float, high: float, *, units: int = 1000) -> Difference:
    """An interval."""
    return Difference((low + high) / 2, low, high, 0.01, units, True, 40.0)


COUNTS = Counts(1200, 1100, 1100, 50, 1000, 40, 25.0, 0.1, 3, 0, 0, 0)
BETTER = Report(
    figures(OLD),
    figures(NEW),
    Differences(
        accuracy=difference(0.01, 0.05),
        brier=difference(-0.02, -0.01),
        nll=difference(-0.1, -0.05),
        ece=difference(-0.01, 0.01),
        pearson=None,
        l1=None,
    ),
    COUNTS,
    0.05,
    1,
)


def but(**changes: Any) -> Report:
    """The better version's report with other differences or counts."""
    counts = {name: value for name, value in changes.items() if hasattr(COUNTS, name)}
    others = {name: value for name, value in changes.items() if name not in counts}
    return replace(BETTER, counts=replace(COUNTS, **counts), differences=replace(BETTER.differences, **others))


def test_promote() -> None:
    """Everything is there and speaks for it: promoted, with the figures."""
    found = decide(BETTER, HEALTH, RULES)
    assert found.action == "promote"
    assert found.reasons[0] == (
        "The treatment gains +3.0 points of accuracy, between +1.0 and +5.0 at every look with 95% confidence, "
        "over 1,000 prompts."
    )
    assert found.reasons[1] == "1,100 decided votes of 40 voters."


def test_the_brier_score_as_criterion() -> None:
    """Less is better: its sign is turned."""
    rules = Rules(criterion="brier")
    found = decide(BETTER, HEALTH, rules)
    assert found.action == "promote"
    assert "gains +0.0150 of Brier score, between +0.0100 and +0.0200" in found.reasons[0]
    assert decide(but(brier=difference(0.01, 0.02)), HEALTH, rules).action == "roll_back"
    assert decide(but(brier=None), HEALTH, rules).action == "hold"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (but(accuracy=difference(-0.01, 0.05)), "Not decided: no gain is not excluded"),
        (but(accuracy=difference(0.0, 0.05)), "Not decided"),
        (but(decided=199), "Too few votes: 199 decided ones, 200 are needed"),
        (but(accuracy=difference(0.01, 0.05, units=99)), "Too few prompts: 99 are behind"),
        (but(effective_voters=2.9, largest_voter_share=0.5), "one gave 50% of the votes"),
        (but(without_treatment=100), "100 the treatment's"),
        (but(without_control=100), "100 votes lack the control's"),
        (but(invalid=100), "100 hold a value that is no number"),
        (but(votes=0), "No vote has predictions of both versions"),
        (but(accuracy=None), "no interval for accuracy"),
        (but(accuracy=Difference(0.03, NAN, NAN, NAN, 1000, True)), "no interval for accuracy"),
        (but(ece=None), "no interval for the difference of ECE"),
        (but(ece=difference(NAN, NAN)), "ECE is no finite number"),
        (replace(BETTER, treatment=replace(figures(NEW), ece=NAN)), "ECE is no finite number"),
        (replace(BETTER, treatment=replace(figures(NEW), ece=None)), "no interval for the difference of ECE"),
        (replace(BETTER, treatment=replace(figures(NEW), ece_noise_floor=None)), "no interval for the difference"),
        (
            replace(but(ece=difference(0.01, 0.03)), treatment=replace(figures(NEW), ece=0.05)),
            "worse calibrated: ECE 0.050, above its noise floor of 0.030, and +0.010 to +0.030",
        ),
    ],
)
def test_hold(report: Report, reason: str) -> None:
    """Whatever is missing, too little, NaN or unclear holds, and says why."""
    found = decide(report, HEALTH, RULES)
    assert found.action == "hold"
    assert any(reason in sentence for sentence in found.reasons), found.reasons


def test_ece_within_noise_is_no_reason() -> None:
    """A worse ECE below the noise floor, or a difference that may be none, does not hold a better version."""
    assert decide(but(ece=difference(0.005, 0.01)), HEALTH, RULES).action == "promote"
    loud = replace(BETTER, treatment=replace(figures(NEW), ece=0.05))
    assert decide(loud, HEALTH, RULES).action == "promote"
    worse = replace(but(ece=difference(0.01, 0.03)), treatment=replace(figures(NEW), ece=0.05))
    assert decide(worse, HEALTH, Rules(ece_tolerance=0.01)).action == "promote"


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        (None, "Nothing is known of the versions' errors"),
        (Health(WELL, replace(WELL, requests=199)), "The treatment served 199 requests, 200 are needed"),
        (Health(replace(WELL, requests=0, errors=0), WELL), "The control served 0 requests"),
        (Health(WELL, replace(WELL, p95_s=None)), "The treatment's latency is not known"),
        (Health(replace(WELL, p95_s=NAN), WELL), "The control's latency is not known"),
        (Health(WELL, replace(WELL, p95_s=0.16)), "p95 latency is 160 ms, the control's 100 ms"),
    ],
)
def test_hold_without_health(health: Health | None, reason: str) -> None:
    """A better version of unknown health is not promoted."""
    found = decide(BETTER, health, RULES)
    assert found.action == "hold"
    assert any(reason in sentence for sentence in found.reasons)


@pytest.mark.parametrize(
    ("treatment", "reason"),
    [
        (replace(WELL, non_finite=1), "gave 1 scores that are no finite numbers"),
        (replace(WELL, requests=5, errors=0, non_finite=1), "gave 1 scores"),
        (replace(WELL, errors=300), "failed 3.00% of 10,000 requests, the control 0.03%"),
        (replace(WELL, requests=200, errors=40), "failed 20.00% of 200 requests"),
    ],
)
def test_roll_back_when_unhealthy(treatment: VersionHealth, reason: str) -> None:
    """Health alone suffices, however good the votes and however few."""
    for report in (BETTER, but(votes=0, decided=0)):
        found = decide(report, Health(WELL, treatment), RULES)
        assert found.action == "roll_back"
        assert reason in found.reasons[0]


def test_latency_never_rolls_back() -> None:
    """p95 moves by chance: a slower version is held, and says so; before the votes decide it is nothing at all."""
    slow = Health(WELL, replace(WELL, p95_s=9.0))
    assert decide(but(votes=0, decided=0), slow, RULES).action == "hold"
    found = decide(BETTER, slow, RULES)
    assert found.action == "hold"
    assert "more than 1.5 times as long" in found.reasons[-1]


def test_a_shadows_latency_compares_with_nothing() -> None:
    """Nothing is asked of it, known or not; of its errors and requests as much as of anybody's."""
    for p95_s in (None, NAN, 9.0):
        assert decide(BETTER, Health(WELL, replace(WELL, p95_s=p95_s), shadow=True), RULES).action == "promote"
    assert decide(BETTER, Health(WELL, replace(WELL, requests=1, errors=0), shadow=True), RULES).action == "hold"
    assert decide(BETTER, Health(WELL, replace(WELL, errors=300), shadow=True), RULES).action == "roll_back"


def test_chance_is_no_sickness() -> None:
    """Six errors in 200 requests against one in 200: more than the rule's one point, less than chance explains."""
    control, treatment = (VersionHealth(200, errors, 0, 0.1) for errors in (1, 6))
    assert decide(BETTER, Health(control, treatment), RULES).action == "promote"


def test_roll_back_when_worse() -> None:
    """Surely less accurate: rolled back, whether or not its health is known; not on missing data."""
    worse = but(accuracy=difference(-0.05, -0.01))
    for health in (HEALTH, None):
        found = decide(worse, health, RULES)
        assert found.action == "roll_back"
        assert found.reasons[0].startswith("The treatment gains -3.0 points")
    assert decide(but(accuracy=difference(-0.05, -0.01), decided=10), HEALTH, RULES).action == "hold"


def test_tolerance() -> None:
    """With a tolerance of two points a loss of at most one is promoted, an unclear one held, a sure one rolled back."""
    rules = Rules(tolerance=0.02)
    assert decide(but(accuracy=difference(-0.01, 0.02)), HEALTH, rules).action == "promote"
    found = decide(but(accuracy=difference(-0.03, 0.02)), HEALTH, rules)
    assert (found.action, found.reasons[1]) == ("hold", "Not decided: a loss of more than 0.02 is not excluded.")
    assert decide(but(accuracy=difference(-0.04, -0.001)), HEALTH, rules).action == "roll_back"


@pytest.mark.parametrize(
    ("rules", "cause"),
    [
        ({"criterion": "ece"}, "'ece' is neither"),
        ({"least_votes": 0}, "must be at least 1"),
        ({"least_prompts": 0}, "must be at least 1"),
        ({"least_requests": 0}, "must be at least 1"),
        ({"tolerance": -0.1}, "not negative"),
        ({"most_missing": NAN}, "not negative"),
        ({"slowdown": float("inf")}, "not negative"),
    ],
)
def test_bad_rules_are_refused(rules: dict[str, Any], cause: str) -> None:
    """Rules that could promote on nothing, or on NaN, are an error."""
    with pytest.raises(ValueError, match=cause):
        Rules(**rules)


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=32))


@settings(max_examples=300)
@example((2.0, 1.0), 200, 100, HEALTH)
@given(st.tuples(numbers, numbers), st.integers(0, 400), st.integers(0, 200), st.sampled_from([None, HEALTH]))
def test_never_promoted_on_nothing(bounds: tuple[Any, Any], decided: int, units: int, health: Health | None) -> None:
    """Whatever the figures: promoted only with enough votes, prompts, health and a finite gain; always a reason."""
    low, high = bounds
    accuracy = None if low is None or high is None else difference(low, high, units=units)
    found = decide(but(accuracy=accuracy, decided=decided), health, RULES)
    assert found.reasons
    if found.action == "promote":
        assert min(low, high) > 0
        assert max(low, high) < math.inf
        assert decided >= 200
        assert units >= 100
        assert health is not None


def verdict(rows: list[Any]) -> Verdict:
    """From votes to the verdict."""
    return decide(build_report(rows, control=OLD, treatment=NEW, alpha=0.05, draws=100), HEALTH, RULES)


def test_from_votes() -> None:
    """Votes of a simulated population: the better version is promoted, the worse rolled back, a copy held."""
    better = population(1500, old=3.0, new=0.1)
    assert verdict(better).action == "promote"
    swapped = decide(build_report(better, control=NEW, treatment=OLD, alpha=0.05, draws=100), HEALTH, RULES)
    assert swapped.action == "roll_back"
    same = [judged(n, share=float(n % 2), old=0.6, new=0.6, voter=f"{n % 50}") for n in range(400)]
    assert verdict(same).action == "hold"
    assert verdict([]).action == "hold"
    assert verdict([replace(row, predictions={OLD: row.predictions[OLD]}) for row in better[:500]]).action == "hold"
