"""Which votes, and how many of them are read at once."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, literal, select, tuple_

from service.feedback.connect import Database
from service.feedback.records import Vote
from service.feedback.rows import to_vote
from service.feedback.tables import votes

_PAGE = 500


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


def paged(database: Database, where: Sequence[ColumnElement[bool]], order: Sequence[Column[Any]]) -> Iterator[Vote]:
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
