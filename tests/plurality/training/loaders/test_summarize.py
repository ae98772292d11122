"""Summarize-from-feedback: the post is in the prompt, choice decides, workers become votes."""

from typing import Any

import pytest

from plurality.training.errors import DataError
from plurality.training.loaders import summarize
from plurality.training.split import deduplicate
from tests.plurality.training.loaders.pairs import outcomes, share, side

POST = {"id": "t3_made", "subreddit": "bread", "title": "My loaf", "post": "It rose.", "article": None}
ARTICLE = {"id": "a1", "title": "News", "article": "It rained.", "post": None, "subreddit": None}


def record(choice: int, *, worker: str = "w1", **changes: Any) -> dict[str, Any]:
    summaries = [{"text": " loaf rose", "policy": "ref", "note": None}, {"text": " bread", "policy": "sup", "note": ""}]
    base = {"info": POST, "summaries": summaries, "choice": choice, "worker": worker, "batch": "b7", "split": "valid2"}
    return base | {"extra": {"confidence": 8}} | changes


@pytest.mark.parametrize(("choice", "expected"), [(0, "loaf rose"), (1, "bread")])
def test_choice_decides(choice: int, expected: str) -> None:
    """choice is the index of the better summary."""
    assert outcomes(summarize.rows([record(choice)])) == [(frozenset(("loaf rose", "bread")), expected)]


def test_post_is_in_the_prompt() -> None:
    """Subreddit, title and post make the prompt; the post's id is the group."""
    loaded = summarize.rows([record(0)])
    [row] = loaded.rows
    assert row.prompt == "SUBREDDIT: r/bread\nTITLE: My loaf\nPOST: It rose.\nTL;DR:"
    assert (row.category, loaded.groups) == ("tldr", {row.id: "t3_made"})


def test_articles_have_no_post() -> None:
    """CNN/DM rows of the evaluation batches have an article instead."""
    [row] = summarize.rows([record(0, info=ARTICLE)]).rows
    assert (row.category, row.prompt) == ("cnndm", "TITLE: News\nARTICLE: It rained.\nTL;DR:")


def test_details_are_kept() -> None:
    """Worker, batch, split and confidence, and each summary's policy at its side."""
    loaded = summarize.rows([record(1)])
    [row] = loaded.rows
    known = loaded.details[row.id]
    assert {key: known[key] for key in ("worker", "batch", "split", "confidence")} == {
        "worker": "w1", "batch": "b7", "split": "valid2", "confidence": 8,
    }  # fmt: skip
    assert known[f"policy_{side(row, 'bread')}"] == "sup"


def test_workers_become_votes() -> None:
    """Three workers on one pair are one row with three votes after de-duplication."""
    loaded = summarize.rows([record(0, worker="u"), record(1, worker="v"), record(0, worker="w")])
    unique = deduplicate(loaded.rows)
    [row] = unique.rows
    assert (unique.merged, unique.contradicted) == (2, 1)
    assert row.votes is not None
    assert row.votes.total == 3
    assert share(row, "loaf rose") == pytest.approx(2 / 3)


def test_object_of_lists_and_missing_confidence() -> None:
    """The shape that `datasets` may give; confidence is not in every batch."""
    summaries = {"text": ["x", "y"], "policy": ["sup", "sup"], "note": [None, None]}
    loaded = summarize.rows([record(0, summaries=summaries, extra={"confidence": None})])
    assert outcomes(loaded)[0][1] == "x"
    assert loaded.notes == {"no confidence given": 1, "the two summaries are of one policy": 1}


def test_choice_must_be_one_of_two() -> None:
    """Another choice, or no post at all, is another schema."""
    with pytest.raises(DataError) as caught:
        summarize.rows([record(2), record(0, info={"id": "x"})])
    assert [row.cause for row in caught.value.rows] == [
        "choice is not one of two summaries", "no field info.article; it has id",
    ]  # fmt: skip
