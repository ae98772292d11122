"""Tests of service/experiments/rows.py and report.py."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.core.pairs import ResponsePair
from plurality.stats import brier, ece, nll, pairwise_accuracy, pearson
from service.domain import Message
from service.experiments.report import Report, build_report
from service.experiments.rows import Counts
from service.feedback.records import Judged, Prediction
from tests.service.experiments.voting import NEW, OLD, judged, population

steady = settings(max_examples=15)


def report(rows: list[Judged], votes_per_prompt: int = 1, draws: int = 40) -> Report:
    """Of the two versions, with few draws."""
    return build_report(rows, control=OLD, treatment=NEW, alpha=0.05, votes_per_prompt=votes_per_prompt, draws=draws)


def test_figures_of_both_versions() -> None:
    """Each version's figures are those of metrics over the votes; of Pearson and L1, over pairs judged by several."""
    rows = population(200, each=3, old=2.0, new=0.3)
    found = report(rows)
    y = np.array([row.vote.share_a for row in rows])
    for digest, figures in ((OLD, found.control), (NEW, found.treatment)):
        p = np.array([row.predictions[digest].probability for row in rows])
        assert figures.version == digest
        assert figures.accuracy == pytest.approx(pairwise_accuracy(p, y))
        assert figures.nll == pytest.approx(nll(p, y))
        assert figures.brier == pytest.approx(brier(p, y))
        assert figures.ece == pytest.approx(ece(p, y))
        assert figures.ece_noise_floor is not None
        fractions = y.reshape(200, 3).mean(axis=1)
        assert figures.pearson == pytest.approx(pearson(p[::3], fractions))
        assert figures.l1 == pytest.approx(np.abs(p[::3] - fractions).mean())
    assert found.counts.pairs == found.counts.shared_pairs == found.counts.prompts == 200
    assert found.treatment.ece is not None
    assert found.control.ece is not None
    assert found.treatment.ece < found.control.ece


def test_differences_name_the_better_version() -> None:
    """A version with less noise gains accuracy and Pearson, and loses Brier, log loss and L1: all intervals say so."""
    found = report(population(1500, each=2, old=3.0, new=0.1), votes_per_prompt=2).differences
    assert found.accuracy is not None
    assert found.accuracy.low > 0
    assert found.pearson is not None
    assert found.pearson.low > 0
    for difference in (found.brier, found.nll, found.l1, found.ece):
        assert difference is not None
        assert difference.high < 0
        assert difference.p_value is not None
        assert difference.p_value <= 0.05
    peekable = [d.peekable for d in (found.accuracy, found.brier, found.nll) if d]
    once = [d.peekable for d in (found.ece, found.pearson, found.l1) if d]
    assert peekable == [True] * 3
    assert once == [False] * 3


def test_accuracy_is_of_decided_votes_and_halves_undecided_predictions() -> None:
    """A tied vote is in no accuracy; a prediction of one half is half right."""
    rows = [judged(0, share=1, old=0.4, new=0.9), judged(1, share=0, old=0.5, new=0.2), judged(2, share=0.5, new=0.9)]
    found = report(rows)
    assert [found.control.accuracy, found.treatment.accuracy] == [0.25, 1.0]
    assert found.differences.accuracy is not None
    assert (found.differences.accuracy.estimate, found.differences.accuracy.units) == (0.75, 2)
    assert found.differences.brier is not None
    assert found.differences.brier.units == 3
    assert (found.counts.votes, found.counts.decided) == (3, 2)


def test_a_prompt_counts_once() -> None:
    """However many vote on a prompt it is one unit of the peekable differences: its first votes, and only when full."""
    rows = [judged(n, share=1, old=0.4, new=0.6, prompt="x") for n in range(50)]
    rows += [judged(50 + n, share=1, old=0.6, new=0.4, prompt=f"y{n}") for n in range(3)]
    alone, panel = report(rows), report(rows, votes_per_prompt=2)
    assert alone.differences.accuracy is not None
    assert (alone.differences.accuracy.units, alone.differences.accuracy.estimate) == (4, -0.5)
    assert panel.differences.accuracy is not None
    assert (panel.differences.accuracy.units, panel.differences.accuracy.estimate) == (1, 1.0)
    assert alone.control.accuracy == pytest.approx(3 / 53)


def test_log_losses_are_compared_cut() -> None:
    """A certain and wrong prediction costs log 100 in the comparison, 36 nats in the version's own figure."""
    found = report([judged(0, share=1, old=0.0, new=1.0), judged(1, share=0, old=0.0, new=1.0)])
    assert found.control.nll == pytest.approx(18, abs=0.1)
    assert found.differences.nll is not None
    assert found.differences.nll.estimate == pytest.approx(0, abs=1e-12)
    one_sided = report([judged(0, share=1, old=0.0, new=1.0)]).differences.nll
    assert one_sided is not None
    assert one_sided.estimate == pytest.approx(-math.log(99))
    assert one_sided.low == pytest.approx(-math.log(99))


@steady
@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 5))
def test_order_and_writing_do_not_matter(turns: list[bool], seed: int) -> None:
    """Votes in any order, pairs written either way round: the same report."""
    rows = population(6, each=2, old=1.0, new=0.5, seed=seed)
    other = [_turned(row) if turn else row for row, turn in zip(rows, turns, strict=True)]
    there, back = report(rows, draws=2), report(other[::-1], draws=2)
    assert _flat(there) == pytest.approx(_flat(back), abs=1e-9)


def _turned(row: Judged) -> Judged:
    pair = ResponsePair(row.vote.pair.prompt, row.vote.pair.response_b, row.vote.pair.response_a)
    said = {
        digest: Prediction(found.reward_b, found.reward_a, 1 - found.probability)
        for digest, found in row.predictions.items()
    }
    return Judged(replace(row.vote, pair=pair, share_a=1 - row.vote.share_a), said)


def _flat(found: Report) -> list[float]:
    figures = [getattr(v, name) for v in (found.control, found.treatment) for name in ("accuracy", "brier", "ece")]
    every = (found.differences.accuracy, found.differences.brier, found.differences.nll)
    return [*(x for x in figures if x is not None), *(x for d in every if d for x in (d.estimate, d.low, d.high))]


def test_a_person_counts_once_a_pair() -> None:
    """The first vote of a person on a pair, whichever way round; on another pair of the prompt it is a new one."""
    rows = [
        judged(0, share=1, new=0.9, prompt="x", voter="ann"),
        judged(1, share=0, new=0.1, prompt="x", voter="ann", responses=("two", "one")),
        judged(2, share=0, new=0.9, prompt="x", voter="ann"),
        judged(3, share=1, new=0.9, prompt="x", voter="ann", responses=("one", "three")),
        judged(4, share=0, new=0.9, prompt="x", voter="bob"),
    ]
    found = report(rows)
    assert (found.counts.votes, found.counts.repeated, found.counts.pairs, found.counts.shared_pairs) == (3, 2, 2, 1)
    assert found.treatment.accuracy == pytest.approx(2 / 3)
    assert found.treatment.l1 == pytest.approx(0.4)


def test_concentration_is_told() -> None:
    """One person with half of the votes: 6 voters, as spread out as 3.3."""
    rows = [judged(n, voter="busy" if n < 5 else None) for n in range(10)]
    counts = report(rows).counts
    assert (counts.voters, counts.largest_voter_share) == (6, 0.5)
    assert counts.effective_voters == pytest.approx(1 / (0.25 + 5 * 0.01))


def test_what_cannot_be_compared_is_counted() -> None:
    """No prediction, NaN, a probability or a share outside its range: left out, each under its name."""
    rows = [
        judged(0, new=0.7),
        judged(1, old=None),
        judged(2, new=None),
        judged(3, old=None, new=None),
        judged(4, new=float("nan")),
        judged(5, old=1.5),
        judged(6, share=float("nan")),
        judged(7, share=-0.1),
        Judged(judged(8).vote, {OLD: Prediction(float("inf"), 0, 0.5), NEW: Prediction(0, 0, 0.5)}),
        Judged(judged(9).vote, {OLD: Prediction(0, float("nan"), 0.5), NEW: Prediction(0, 0, 0.5)}),
    ]
    counts = report(rows).counts
    assert counts == Counts(
        votes=1,
        decided=1,
        pairs=1,
        shared_pairs=0,
        prompts=1,
        voters=1,
        effective_voters=1.0,
        largest_voter_share=1.0,
        repeated=0,
        without_control=2,
        without_treatment=2,
        invalid=6,
    )


def test_no_votes() -> None:
    """Nothing to compare: no figure is made up."""
    found = report([])
    assert found.counts.votes == found.counts.voters == 0
    for figures in (found.control, found.treatment):
        assert (figures.accuracy, figures.nll, figures.brier) == (None, None, None)
        assert (figures.ece, figures.ece_noise_floor, figures.pearson, figures.l1) == (None, None, None, None)
    assert set(msgspec.to_builtins(found.differences).values()) == {None}


def test_ties_alone() -> None:
    """Nobody can be right about ties; how sure a version was still counts."""
    found = report([judged(n, share=0.5, old=0.9, new=0.5) for n in range(4)])
    assert found.treatment.accuracy is None
    assert found.differences.accuracy is None
    assert found.treatment.brier == 0
    assert found.differences.brier is not None
    assert found.differences.brier.estimate == pytest.approx(-0.16)


def test_one_prompt_has_no_bootstrap() -> None:
    """A single prompt shows no spread: no interval for one look; Pearson of one shared pair is undefined."""
    found = report([judged(n, new=0.7, prompt="x") for n in range(3)])
    assert (found.differences.ece, found.differences.l1) == (None, None)
    assert found.treatment.pearson is None
    assert found.treatment.l1 == pytest.approx(0.3)


def test_conversations() -> None:
    """A prompt may be a conversation."""
    turns = (Message("user", "hello"), Message("assistant", "yes?"), Message("user", "why?"))
    rows = [
        Judged(replace(row.vote, pair=replace(row.vote.pair, prompt=turns)), row.predictions)
        for row in population(5, old=1, new=1)
    ]
    assert report(rows).counts.prompts == 1


def test_it_can_be_sent() -> None:
    """msgspec encodes a report, and decodes it to the same."""
    found = report(population(30, each=2, old=1.0, new=0.5))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Report) == found


def test_a_report_of_crowded_prompts_can_be_peeked_at() -> None:
    """40 experiments with equal versions and 40 votes a prompt, three looks each: alarms within α + 3σ.

    Were a vote the unit, 26 of the 40 would alarm.
    """
    alarms = 0
    for seed in range(40):
        rows = population(30, each=40, old=2.0, new=2.0, seed=seed)
        looks = [report(rows[:end], votes_per_prompt=40, draws=1).differences.accuracy for end in range(400, 1201, 400)]
        alarms += any(found is not None and (found.low > 0 or found.high < 0) for found in looks)
    assert alarms / 40 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"treatment": OLD}, "are both"),
        ({"alpha": 0.0}, "alpha 0.0 is not in"),
        ({"alpha": float("nan")}, "alpha nan is not in"),
        ({"votes_per_prompt": 0}, "votes_per_prompt 0"),
        ({"draws": 0}, "draws 0"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float], cause: str) -> None:
    """Each error names its cause, also where there are no votes."""
    with pytest.raises(ValueError, match=cause):
        build_report([], **{"control": OLD, "treatment": NEW, "alpha": 0.05, **options})  # type: ignore[arg-type]
