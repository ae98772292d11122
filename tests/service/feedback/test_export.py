"""Export: rows that the trainer reads, whose share for a is the mean of what the voters said."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.core.pairs import ResponsePair
from plurality.core.rows import PreferenceRow
from plurality.training.load import load_rows
from service.feedback.database import FeedbackStore
from service.feedback.export import json_line, training_rows
from service.feedback.records import Rows, Vote
from tests.service.feedback.stories import KEYS, PAIR, PROMPTS, TEXTS, opened, vote

SWAPPED = ResponsePair(PAIR.prompt, PAIR.response_b, PAIR.response_a)
JUDGED = st.builds(ResponsePair, PROMPTS, TEXTS, TEXTS)


@st.composite
def some_votes(draw: st.DrawFn) -> list[Vote]:
    """A few voters on a few pairs, in either order, by choice or estimate."""
    pairs = draw(st.lists(JUDGED, min_size=1, max_size=3))
    made = []
    for number in range(draw(st.integers(1, 8))):
        pair, graded = draw(st.sampled_from(pairs)), draw(st.booleans())
        if draw(st.booleans()):
            pair = ResponsePair(pair.prompt, pair.response_b, pair.response_a)
        share = draw(st.integers(0, 10)) / 10 if graded else draw(st.sampled_from([0.0, 0.5, 1.0]))
        said = {"category": draw(st.none() | TEXTS), "source": draw(st.none() | TEXTS)}
        voter = draw(st.sampled_from(["x", "y", "z"]))
        made.append(Vote(f"v{number}", pair, share, voter, draw(KEYS), float(number), graded=graded, **said))
    return made


def exported(store: FeedbackStore, rows: Rows = "pairs", after: int = 0) -> list[PreferenceRow]:
    """Through a file, as `plurality train` reads it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_bytes(b"".join(map(json_line, training_rows(store, rows, after=after))))
        return load_rows(file)


@settings(max_examples=40)
@given(given_votes=some_votes())
def test_what_is_exported_is_what_was_said(given_votes: list[Vote]) -> None:
    """Both kinds of rows load; texts and shares are those of the votes, one voice a voter."""
    with tempfile.TemporaryDirectory() as folder, opened(f"sqlite:///{folder}/votes.db") as store:
        store.add(given_votes)
        single, joined = exported(store, "votes"), exported(store)
    assert [row.id for row in single] == [v.id for v in given_votes]
    for row, said in zip(single, given_votes, strict=True):
        assert ResponsePair(row.context, row.response_a, row.response_b) == said.pair
        assert row.preference == row.label == pytest.approx(said.share_a)
        assert (row.source, row.category) == (said.source or "unknown", said.category or None)
    groups: dict[object, list[Vote]] = {}
    for said in given_votes:
        pair = said.pair
        groups.setdefault((pair.prompt, *sorted((pair.response_a, pair.response_b))), []).append(said)
    assert len(joined) == len(groups)
    for row in joined:
        group = groups[(row.context, *sorted((row.response_a, row.response_b)))]
        assert row.response_a == group[0].pair.response_a
        last = {said.voter: said for said in group}.values()
        shares = [v.share_a if v.pair.response_a == row.response_a else 1 - v.share_a for v in last]
        assert row.preference == pytest.approx(sum(shares) / len(shares))
        assert row.label == pytest.approx(row.preference)
        people = 10 * len(shares) if any(v.graded for v in last) else len(shares)
        assert row.votes is not None
        assert row.votes.total == people


def test_votes_are_counted_in_people_or_in_tenths(tmp_path: Path) -> None:
    """Three choices are three people; with an estimate among them each voter is ten tenths."""
    with opened(f"sqlite:///{tmp_path / 'votes.db'}") as store:
        store.add([vote(1), vote(2, pair=SWAPPED, category="subjective"), vote(3, share_a=0.5)])
        [row] = exported(store)
        assert row.votes is not None
        assert (row.votes.a, row.votes.b, row.votes.tie, row.category) == (1, 1, 1, "subjective")
        cursor = store.cursor()
        store.add([vote(4, share_a=0.7, graded=True), vote(5, voter="voter-1", share_a=0.0)])
        [again] = exported(store, after=cursor)
        assert again.id == row.id
        assert again.votes is not None
        assert (again.votes.a, again.votes.b, again.votes.tie) == (7, 3 + 20, 10)


def test_a_share_of_another_scale_is_an_estimate(tmp_path: Path) -> None:
    """Simulated voters may give any share: it is counted in tenths."""
    with opened(f"sqlite:///{tmp_path / 'votes.db'}") as store:
        store.add([replace(vote(1), share_a=0.72)])
        [row] = exported(store, "votes")
        assert row.label == 0.7


def test_a_pair_has_the_source_and_category_of_most_of_its_votes(tmp_path: Path) -> None:
    """The most frequent one of its votes, not the first by time or by the alphabet; votes without one do not count."""
    named = [("early", "a"), ("web", "z"), ("web", "z"), (None, None), (None, None), (None, None)]
    with opened(f"sqlite:///{tmp_path / 'votes.db'}") as store:
        store.add([vote(n, source=source, category=category) for n, (source, category) in enumerate(named)])
        [row] = exported(store)
        assert (row.source, row.category) == ("web", "z")
