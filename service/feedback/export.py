"""Votes as rows of training data: the canonical row of `plurality/core/rows.py`, which `plurality train` reads.

A pair's row holds all its votes. One voice a voter: who votes on a pair again has changed their mind. Votes are counted
in people; where one was given as 10-0 ... 0-10 all are counted in tenths, so that the share that prefers a is the mean
of what the voters said (arXiv 2412.03822, section 3.2).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from plurality.core.pairs import ResponsePair
from plurality.core.rows import PreferenceRow, Votes
from service.feedback.database import FeedbackStore
from service.feedback.records import Rows, Vote
from service.feedback.tables import pair_key

_TENTHS = 10
_CHOICES = {0.0: "b", 0.5: "tie", 1.0: "a"}
_ID_DIGITS = 32


def training_rows(
    store: FeedbackStore, rows: Rows = "pairs", *, model: str | None = None, after: int = 0, until: int | None = None
) -> Iterator[PreferenceRow]:
    """A row a pair, of all its votes, for each pair that was voted on after a cursor; or a row a vote."""
    if rows == "votes":
        return (vote_row(vote) for vote in store.votes(model, after=after, until=until))
    return (pair_row(votes) for votes in store.by_pair(model, after=after, until=until))


def json_line(row: PreferenceRow) -> bytes:
    """A row as a line of JSON, without the fields that the votes do not set."""
    return row.model_dump_json(exclude_unset=True).encode() + b"\n"


def vote_row(vote: Vote) -> PreferenceRow:
    """One vote; a choice has a label alone, an estimate its ten votes too."""
    counts = _counts([vote], vote.pair)
    return _row(vote.id, vote.pair, counts, [vote], counted=sum(counts.values()) > 1)


def pair_row(votes: Sequence[Vote]) -> PreferenceRow:
    """The votes on one pair, in order of time; a and b are as the first voter saw them."""
    last = {vote.voter: vote for vote in votes}
    pair = votes[0].pair
    counts = _counts(list(last.values()), pair)
    return _row(f"pair-{pair_key(pair)[:_ID_DIGITS]}", pair, counts, votes, counted=True)


def _counts(votes: Sequence[Vote], pair: ResponsePair) -> Counter[str]:
    """People by what they prefer, or tenths of people."""
    estimates = any(_is_estimate(vote) for vote in votes)
    counts = Counter[str]()
    for vote in votes:
        share = vote.share_a if vote.pair.response_a == pair.response_a else 1.0 - vote.share_a
        if _is_estimate(vote):
            for_a = round(share * _TENTHS)
            counts.update({"a": for_a, "b": _TENTHS - for_a})
        else:
            counts.update({_CHOICES[share]: _TENTHS if estimates else 1})
    return counts


def _is_estimate(vote: Vote) -> bool:
    return vote.graded or vote.share_a not in _CHOICES


def _row(
    identity: str, pair: ResponsePair, counts: Counter[str], votes: Sequence[Vote], *, counted: bool
) -> PreferenceRow:
    fields: dict[str, Any] = {"votes": Votes(a=counts["a"], b=counts["b"], tie=counts["tie"])} if counted else {}
    for name in ("source", "category"):
        if said := _most_said(getattr(vote, name) for vote in votes):
            fields[name] = said
    label = (counts["a"] + 0.5 * counts["tie"]) / sum(counts.values())
    return PreferenceRow.of(pair, id=identity, label=label, **fields)


def _most_said(values: Iterable[str | None]) -> str | None:
    said = Counter(value for value in values if value)
    return said.most_common(1)[0][0] if said else None
