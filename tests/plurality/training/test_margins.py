"""Votes to margins: arXiv 2412.03822, eq. 3."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from plurality.core.rows import Votes
from plurality.training.errors import BadRow, DataError
from plurality.training.margins import contradicted, paper_margin, row_margins
from tests.plurality.training.data import row


@pytest.mark.parametrize("k", range(11))
def test_equation_3(k: int) -> None:
    """For every number of votes out of ten, m = |Σj − n/2| / (n/2) = |2k/n − 1|."""
    judgements = [1] * k + [0] * (10 - k)
    margin = paper_margin(Votes(a=k, b=10 - k))
    assert margin == pytest.approx(abs(sum(judgements) - 10 / 2) / (10 / 2), abs=1e-12)
    assert margin == pytest.approx(abs(2 * k / 10 - 1), abs=1e-12)


@hypothesis_settings(max_examples=200)
@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_margin_range(a: int, b: int, tie: int) -> None:
    """m lies in [0, 1], does not depend on the order of the pair, and ties only lower it."""
    if a + b == 0:
        return
    margin = paper_margin(Votes(a=a, b=b, tie=tie))
    assert 0.0 <= margin <= 1.0
    assert margin == pytest.approx(paper_margin(Votes(a=b, b=a, tie=tie)), abs=1e-15)
    assert margin <= paper_margin(Votes(a=a, b=b)) + 1e-15


def test_only_ties() -> None:
    """Judges who all say tie leave no margin."""
    assert paper_margin(Votes(a=0, b=0, tie=4)) == 0.0


def test_own_margin_wins() -> None:
    """A row's own margin counts, zero included; the votes only where it has none."""
    votes = {"a": 9, "b": 1}
    rows = [row(votes=votes), row(votes=votes, margin=0.25), row(votes=votes, margin=0.0), row(margin=1.0)]
    assert row_margins(rows, source="x") == pytest.approx([0.8, 0.25, 0.0, 1.0], abs=1e-12)


def test_missing_both_named() -> None:
    """All rows with neither are named, with the file and what is missing."""
    rows = [row(), row(margin=0.5), row(label=0.0), row(votes={"a": 1, "b": 0})]
    with pytest.raises(DataError, match=r"data\.jsonl: the margin objective needs judgements") as caught:
        row_margins(rows, source="data.jsonl")
    assert caught.value.rows == tuple(BadRow(i, "neither votes nor margin") for i in (1, 3))


def test_paper() -> None:
    """Judges unanimous against the label give the full margin, as in the paper."""
    assert row_margins([row(label=1.0, votes={"a": 0, "b": 10})], source="x") == [1.0]


def test_contradicted() -> None:
    """Rows whose judges' majority is against the label; even votes, ties and rows without judges contradict nobody."""
    rows = [
        row(label=1.0, votes={"a": 2, "b": 8}),
        row(label=0.0, votes={"a": 8, "b": 2}),
        row(label=0.0, votes={"a": 2, "b": 8}),
        row(label=1.0, votes={"a": 5, "b": 5}),
        row(label=0.5, votes={"a": 9, "b": 1}),
        row(label=1.0),
    ]
    assert [contradicted(entry) for entry in rows] == [True, True, False, False, False, False]
