"""What rows keep, and what a report says of judgements whose truth is known."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.core.judge_record import JudgeRecord, OrderRecord
from plurality.core.rows import PreferenceRow
from plurality.training.judge.errors import BadReply
from plurality.training.judge.output import judged_row, judged_rows, write_rows
from plurality.training.judge.report import lines, report
from plurality.training.load import load_rows
from plurality.training.margins import row_margins
from tests.plurality.training.data import row

SHARES = st.floats(0.0, 1.0)


def record(q: float | None, **changes: Any) -> JudgeRecord:
    """Ten sampled answers, five an order, as near to q as they come."""
    a = round((q or 0.0) * 10)
    first = min(a, 5)
    orders = [
        {"order": "ab", "a": first, "b": 5 - first},
        {"order": "ba", "a": a - first, "b": 5 - (a - first)},
    ]
    if q is None:
        orders = [{"order": order, "unparsable": 5} for order in ("ab", "ba")]
    silent = 10 if q is None else 0
    raw = {"q": q, "mode": "sample", "n": 10, "parsed": 10 - silent, "unparsable": silent, "orders": orders}
    return JudgeRecord.model_validate(raw | {"model": "m", "settings": "0" * 64} | changes)


@given(SHARES)
def test_a_bare_row_gets_the_margin(q: float) -> None:
    """m = |2q − 1|, and the row trains on q where there are no votes; the label stays a person's."""
    made = judged_row(row(label=0.0), record(q), replace_margin=False)
    assert made.margin == pytest.approx(abs(2 * q - 1))
    assert made.soft_label == q
    assert (made.preference, made.label) == (0.0, 0.0)
    assert row_margins([made], source="x") == [made.margin]


def test_peoples_votes_stay() -> None:
    """Votes, and a margin of the row's own, are kept unless the caller asks; the judgement is beside them."""
    voted = row(votes={"a": 7, "b": 3})
    made = judged_row(voted, record(1.0), replace_margin=False)
    assert (made.votes, made.margin, made.soft_label) == (voted.votes, None, 0.7)
    assert made.judge == record(1.0)
    assert judged_row(voted, record(1.0), replace_margin=True).margin == 1.0
    assert judged_row(row(margin=0.25), record(1.0), replace_margin=False).margin == 0.25
    assert judged_row(row(margin=0.25), record(1.0), replace_margin=True).margin == 1.0


@pytest.mark.parametrize("outcome", [record(None), BadReply("broken")])
@pytest.mark.parametrize("replace", [True, False])
def test_nothing_is_made_up(outcome: JudgeRecord | BadReply, replace: bool) -> None:
    """Without a judgement there is no margin of it, not even that of an earlier run; a person's stays."""
    bare = judged_row(row(), outcome, replace_margin=replace)
    assert (bare.margin, bare.soft_label) == (None, 1.0)
    earlier = judged_row(row(), record(0.9), replace_margin=False)
    assert earlier.margin is not None
    assert judged_row(earlier, outcome, replace_margin=replace).margin is None
    assert judged_row(row(margin=0.25), outcome, replace_margin=replace).margin == 0.25


def test_a_second_judge_replaces_the_first() -> None:
    """Its margin was not a person's."""
    twice = judged_row(judged_row(row(), record(0.9), replace_margin=False), record(0.6), replace_margin=False)
    assert twice.margin == pytest.approx(0.2)


def test_rows_are_read_back(tmp_path: Path) -> None:
    """Written rows are canonical rows: equal after loading, conversations and all."""
    rows = [
        row(id="x", votes={"a": 1, "b": 0}),
        row(id="y", prompt=None, messages=[{"role": "user", "content": "ü"}], category="c", true_preference=0.5),
        row(id="z"),
    ]
    made = judged_rows(rows, [record(0.3), record(None), BadReply("broken")], replace_margin=False)
    write_rows(tmp_path / "out.jsonl", made)
    assert load_rows(tmp_path / "out.jsonl") == made
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def judged(qs: list[float], **changes: Any) -> tuple[list[PreferenceRow], list[JudgeRecord]]:
    rows = [row(id=str(index), prompt=str(index), **changes) for index in range(len(qs))]
    return rows, [record(q) for q in qs]


def test_agreement_with_people() -> None:
    """Pearson, L1 and accuracy by the metrics package: of p*, else of the votes; labels apart."""
    rows, records = judged([0.1, 0.4, 0.6, 0.9])
    truth = [0.2, 0.5, 0.7, 1.0]
    known = [pair.model_copy(update={"true_preference": p}) for pair, p in zip(rows, truth, strict=True)]
    told = report(known, records)
    assert told["people"]["pairs"] == 4
    assert told["people"]["pearson"]["value"] == pytest.approx(1.0)
    assert told["people"]["l1"]["value"] == pytest.approx(0.1)
    assert told["people"]["accuracy"]["value"] == 1.0
    assert told["people"]["l1"]["low"] <= told["people"]["l1"]["value"] <= told["people"]["l1"]["high"]
    assert told["labels"] == {"accuracy": {"value": 0.5, "low": 0.0, "high": 1.0}, "contradicted": 0.5}
    voted, records = judged([0.1, 0.4], votes={"a": 3, "b": 1})
    assert "constant" in report(voted, records)["people"]["pearson"]["undefined"]
    assert report(rows, records * 2)["people"] is None
    for text in lines(told):
        assert "nan" not in text


def test_position_bias_has_a_name_and_an_interval() -> None:
    """A judge that always takes the first: it wins always, and every pair flips with the order."""
    always = record(0.5, orders=[{"order": "ab", "a": 5}, {"order": "ba", "b": 5}])
    rows, _ = judged([0.5] * 3)
    told = report(rows, [always] * 3)["position"]
    assert told["first_shown_wins"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert (told["flipped_by_order"], told["pairs"], told["logit_bias"]) == (1.0, 3, None)
    logits = [OrderRecord(order="ab", logit=1.5), OrderRecord(order="ba", logit=-0.5)]
    exact = record(0.6, mode="logprob", orders=[order.model_dump() for order in logits])
    assert report(rows, [exact] * 3)["position"]["logit_bias"] == 1.0
    one_order = record(0.5, orders=[{"order": "ab", "a": 5, "b": 5}])
    assert "both orders" in report(rows, [one_order] * 3)["position"]["undefined"]


def test_what_is_missing_is_told() -> None:
    """Pairs without an answer and those that failed are listed by id; the report is JSON even if nothing was heard."""
    rows, _ = judged([0.5] * 3)
    told = report(rows, [record(1.0), record(None), BadReply("broken")])
    assert (told["judged"], told["unjudged"], told["failed"]) == (1, ["1"], {"2": "broken"})
    assert (told["answers"], told["unparsable"], told["unanimous"]) == (20, 10, 1.0)
    nothing = report(rows, [record(None)] * 3)
    json.dumps(nothing, allow_nan=False)
    assert lines(nothing)[0].startswith("judged 0 of 3 pairs; 3 without a readable answer, 0 failed; 30 of 30")
