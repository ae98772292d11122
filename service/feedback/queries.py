"""Which votes, how many of them are read at once, and which remembered pair a person is shown next."""

import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, literal, select, tuple_

from service.feedback.connect import Database
from service.feedback.records import ScoredPair, Vote
from service.feedback.rows import to_scored_pair, to_vote
from service.feedback.tables import pair_key, remembered, votes

_PAGE = 500
_PAIRS = 200
"""A page of remembered pairs."""


def chosen(
    model: str | None = None, since: float | None = None, *, after: int = 0, until: int | None = None
) -> list[ColumnElement[bool]]:
    """The conditions of a choice of votes."""
    conditions = []
    if model is not None:
        conditions.append(votes.c.model == model)
    if since is not None:
        conditions.append(votes.c.created >= since)
    if after:
        conditions.append(votes.c.number > after)
    if until is not None:
        conditions.append(votes.c.number <= until)
    return conditions


def iter_pages(
    database: Database, where: Sequence[ColumnElement[bool]], order: Sequence[Column[Any]]
) -> Iterator[Vote]:
    """Votes in an order that no two share, a transaction a page: no lock is held while the caller works."""
    query = select(votes).where(*where).order_by(*order).limit(_PAGE)
    place: ColumnElement[bool] | None = None
    while True:
        with database.read() as connection:
            page = connection.execute(query if place is None else query.where(place)).all()
        for row in page:
            yield to_vote(row)
        if len(page) < _PAGE:
            return
        last = [literal(page[-1]._mapping[column], column.type) for column in order]
        place = tuple_(*order) > tuple_(*last)


def next_unvoted_pair(
    connection: Connection, voter: str, *, since: float, avoid: Collection[str] = ()
) -> ScoredPair | None:
    """A pair that the voter has not voted on under any request id, at random from the newest page that has one.

    At random, so that several people who vote at once do not all get the same pair. Pairs of equal responses ask
    nothing.

    Args:
        since: remembered at or after, in seconds since the epoch.
        avoid: keys of pairs (`pair_key`) not to show, such as those that were skipped.
    """
    done = set(connection.execute(select(votes.c.pair).where(votes.c.voter == voter)).scalars()) | set(avoid)
    newest = select(remembered).where(remembered.c.created >= since)
    newest = newest.order_by(remembered.c.created.desc(), remembered.c.request_id, remembered.c.place)
    start = 0
    while rows := connection.execute(newest.limit(_PAIRS).offset(start)).all():
        found = [pair for pair in map(to_scored_pair, rows) if _asks(pair, done)]
        if found:
            return secrets.choice(found)
        start += _PAIRS
    return None


def _asks(pair: ScoredPair, done: Collection[str]) -> bool:
    return pair.pair.response_a != pair.pair.response_b and pair_key(pair.pair) not in done
