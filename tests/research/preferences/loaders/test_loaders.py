"""The loaders of the studies' sets, on records of the same schema made for these tests."""

from typing import Any

import pytest

from plurality.core.rows import Votes
from plurality.training.errors import DataError
from research.preferences.loaders import alpaca, coalign, dsp, finegrained, ukp, vicuna
from tests.plurality.training.loaders.pairs import outcomes, said, share, side


def dialogue(answer: str, question: str = "Is tea wet?") -> str:
    return f"\n\nHuman: {question}\n\nAssistant: {answer}"


def webgpt(answer: str, question: str = "Why?") -> str:
    return f"## Human:\n{question}\n\n\n\n## Assistant:\n{answer}"


def test_dsp_helpful() -> None:
    """HH dialogues with scores: messages, and the higher score wins wherever it stands."""
    loaded = dsp.helpful_rows([{"text": [dialogue("No."), dialogue("Yes.")], "score": [0.0, 1.0]}])
    assert said(loaded.rows[0]) == [("user", "Is tea wet?")]
    assert outcomes(loaded)[0][1] == "Yes."


def test_dsp_webgpt() -> None:
    """Graded scores: the sign decides, 1 : 1 is a tie; two questions are no pair."""
    loaded = dsp.webgpt_rows([
        {"text": [webgpt("x"), webgpt("y")], "score": [0.5, 1.5]},
        {"text": [webgpt("x"), webgpt("z")], "score": [1.0, 1.0]},
        {"text": [webgpt("x"), webgpt("y", "How?")], "score": [2.0, 0.0]},
    ])  # fmt: skip
    assert [best for _, best in outcomes(loaded)] == ["y", None]
    assert loaded.dropped == {dsp.OTHER_QUESTION: 1}
    assert (loaded.rows[0].prompt, loaded.details[loaded.rows[0].id]) == ("Why?", {"strength": 0.5})


@pytest.mark.parametrize(
    "record",
    [{"text": ["x"], "score": [1.0]}, {"text": ["x", "y"], "score": [1, "2"]}, {"text": [1, 2], "score": [1, 2]}],
)
def test_dsp_other_schema(record: dict[str, Any]) -> None:
    """Texts and scores come in twos."""
    for read in (dsp.helpful_rows, dsp.webgpt_rows):
        with pytest.raises(DataError, match="line 1"):
            read([record])


def test_dsp_webgpt_needs_its_marks() -> None:
    """A text that is not a question and an answer is another schema."""
    with pytest.raises(DataError, match="not a question and an answer"):
        dsp.webgpt_rows([{"text": ["x", webgpt("y")], "score": [1, 1]}])


def test_finegrained_six_pairs() -> None:
    """The six labels are in the order 1-2, 1-3, 1-4, 2-3, 2-4, 3-4; 0 is a tie."""
    answers = {f"prediction {i}": f"p{i}" for i in range(1, 5)}
    loaded = finegrained.rows([{"question": "q?", "preference": [0, 1, 2, 1, 0, 2], **answers}])
    best = {"".join(sorted(pair)): winner for pair, winner in outcomes(loaded)}
    assert best == {"p1p2": None, "p1p3": "p1", "p1p4": "p4", "p2p3": "p2", "p2p4": None, "p3p4": "p4"}
    with pytest.raises(DataError, match="six"):
        finegrained.rows([{"question": "q?", "preference": [1, 2, 3], **answers}])


def argument(
    votes: list[str], *, gold: str | None = "a1", file: str = "ban-tea_yes.xml", other: str = "Yes"
) -> dict[str, Any]:
    return {
        "_source_file": file, "id": "arg1_arg2", "debateMetaData": {"title": "Ban tea"}, "goldLabel": gold,
        "arg1": {"text": "It is wet.", "stance": "Yes"}, "arg2": {"text": "It is hot.", "stance": other},
        "mTurkAssignments": [{"value": value} for value in votes],
    }  # fmt: skip


def test_ukp_votes() -> None:
    """All votes count, equal ones as ties, also where the set has no gold label; the debate is the group."""
    loaded = ukp.rows([argument(["a1", "a1", "equal", "a2", "a1"], gold=None)])
    [row] = loaded.rows
    assert share(row, "It is wet.") == pytest.approx(0.7)
    assert row.prompt == "Debate: Ban tea\nGive a convincing argument for this side: Yes"
    assert loaded.notes == {"no gold label upstream, votes used": 1}
    assert loaded.groups == {row.id: "ban-tea"}


def test_ukp_both_sides_of_a_debate_are_one_group() -> None:
    """The two sides of a debate never part."""
    loaded = ukp.rows([argument(["a1"]), argument(["a2"], file="ban-tea_no-never.xml")])
    assert set(loaded.groups.values()) == {"ban-tea"}


@pytest.mark.parametrize("record", [argument(["a3"]), argument([]), argument(["a1"], other="No")])
def test_ukp_other_schema(record: dict[str, Any]) -> None:
    """Unknown votes, no votes, and arguments for two sides are named."""
    with pytest.raises(DataError, match="line 1"):
        ukp.rows([record])


def judged(judge: str, preference: float, **changes: Any) -> dict[str, Any]:
    base = {"instruction": "Sing.", "output_1": "base", "output_2": "new", "annotator": judge, "preference": preference}
    return base | {"dataset": "koala", "generator_1": "b", "generator_2": "n"} | changes


def test_alpaca_judges_become_votes() -> None:
    """1 is output_1, 2 output_2, 1.5 a tie; hard judgements of one pair are votes of one row."""
    loaded = alpaca.rows([judged("x", 1), judged("y", 2), judged("z", 1.5)])
    [row] = loaded.rows
    assert row.votes == Votes(a=1, b=1, tie=1)
    assert (row.category, row.margin, loaded.details[row.id]["judges"]) == ("koala", None, 3)
    assert loaded.details[row.id][f"model_{side(row, 'base')}"] == "b"


def test_alpaca_soft_judgements() -> None:
    """A weighted judge gives P(output_2) = preference - 1: the mean is the label, |2q - 1| the margin, no votes."""
    [row] = alpaca.rows([judged("soft", 1.1), judged("hard", 2)]).rows
    assert share(row, "base") == pytest.approx(0.45)
    assert row.votes is None
    assert row.margin == pytest.approx(0.1)


def test_alpaca_left_out_judgements() -> None:
    """0 meant a tie once and is left out; the same judge counts once; a pair without any judgement is dropped."""
    loaded = alpaca.rows([judged("x", 1), judged("x", 2), judged("y", 0), judged("y", 0, output_2="other")])
    [row] = loaded.rows
    assert share(row, "base") == 1.0
    assert loaded.notes == {alpaca.OLD_TIE: 2, alpaca.REPEATED: 1}
    assert loaded.dropped == {alpaca.NO_JUDGEMENT: 1}


def test_alpacafarm_runs_are_judges() -> None:
    """Runs of one judge, told apart by their files, each have a vote; the input belongs to the prompt."""
    runs = [judged("g", 1 + (seed == 0), _file=f"seed{seed}", input="In D.") for seed in range(4)]
    [row] = alpaca.rows(runs).rows
    assert row.prompt == "Sing.\n\nIn D."
    assert row.votes is not None
    assert row.votes.total == 4
    assert share(row, "base") == 0.75


VICUNA: list[dict[str, Any]] = [
    {"question_id": 1, "text": "Why is tea?", "category": "generic"},
    {"question_id": 1, "_model": "gpt", "text": "Because."},
    {"question_id": 1, "_model": "guanaco", "text": "Why is tea?", "generation": "Leaves."},
    *({"question_id": 1, "_model1": "gpt", "_model2": "guanaco", "text": "", "score": score} for score in (1, 2, 2)),
]


def test_vicuna_votes() -> None:
    """Three workers are three votes; Guanaco's answer is in `generation`, its `text` is the question."""
    [row] = vicuna.rows(VICUNA).rows
    assert {row.response_a, row.response_b} == {"Because.", "Leaves."}
    assert (row.prompt, row.category) == ("Why is tea?", "generic")
    assert share(row, "Leaves.") == pytest.approx(2 / 3)


def test_vicuna_missing_answer() -> None:
    """Votes on an answer that is nowhere are counted; an unknown score is another schema."""
    assert vicuna.rows(VICUNA[:2] + VICUNA[3:]).dropped == {"question or answer is missing from the files": 1}
    with pytest.raises(DataError, match="none of 1, 2, 3"):
        vicuna.rows([VICUNA[-1] | {"score": -1}])


def best_of_four(n0: str, n1: str) -> dict[str, str]:
    return {
        "set_id": "s1", "situation": "Greet me.", "action_0_letter": "A", "action_1_letter": "D",
        "action_0_description": "Hello.", "action_1_description": "Hi!", "n_annotators_set": "9",
        "n_annotators_pref_0": n0, "n_annotators_pref_1": n1,
    }  # fmt: skip


def test_community_alignment() -> None:
    """Counts of a CSV are votes; the letter, which carries style, is nowhere in the row or its details."""
    loaded = coalign.rows([best_of_four("2", "6"), best_of_four("0", "0")])
    [row] = loaded.rows
    assert row.votes is not None
    assert (row.votes.total, share(row, "Hi!")) == (8, 0.75)
    assert loaded.dropped == {coalign.NOBODY: 1}
    assert loaded.groups == {row.id: "s1"}
    assert loaded.details[row.id] == {"raters": 9}
    assert "letter" not in str(row.model_dump())
