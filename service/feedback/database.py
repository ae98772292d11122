"""Votes, what versions predicted for them, and remembered pairs, in SQL. Synchronous: call it in a thread."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, delete, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import FeedbackConflict
from service.feedback.connect import Database
from service.feedback.queries import chosen, iter_pages, next_unvoted_pair
from service.feedback.records import Judged, Prediction, ScoredPair, Vote
from service.feedback.rows import (
    content,
    to_judged,
    to_scored_pair,
    to_vote,
    values_of_scored_pair,
    values_of_vote,
)
from service.feedback.tables import pair_key, predictions, remembered, votes

Status = Literal["stored", "known"]
_LIMIT = 500


class FeedbackStore(Database):
    """The database of votes. Every method raises FeedbackUnavailable where it does not answer.

    Votes have a number that rises in the order in which they were committed. Who read up to `cursor()` reads on with
    `after=` that number and misses nothing, however many writers there are.
    """

    def add(self, given: Sequence[Vote]) -> list[Status]:
        """Store votes, all or none; the same vote under the same id again is known.

        Raises:
            FeedbackConflict: an id is known with another content; `place` says whose.
        """
        with self.write() as connection:
            known = _by_id(connection, [vote.id for vote in given])
            new: dict[str, Vote] = {}
            statuses: list[Status] = []
            for place, vote in enumerate(given):
                before = known.get(vote.id) or new.get(vote.id)
                if before is None:
                    new[vote.id] = vote
                elif content(before) != content(vote):
                    raise FeedbackConflict("another vote has this id; nothing of the request was stored", place=place)
                statuses.append("stored" if before is None else "known")
            if new:
                connection.execute(insert(votes), [values_of_vote(vote) for vote in new.values()])
        return statuses

    def get(self, ids: Sequence[str]) -> dict[str, Vote]:
        """The votes of these ids, as far as there are any."""
        with self.read() as connection:
            return _by_id(connection, ids)

    def cursor(self) -> int:
        """The highest number of a vote, 0 before the first: what comes later has a higher one."""
        with self.read() as connection:
            return connection.execute(select(func.max(votes.c.number))).scalar() or 0

    def votes(self, model: str | None = None, *, after: int = 0, until: int | None = None) -> Iterator[Vote]:
        """Yield votes ordered by (created, id) in pages, so that no transaction stays open for a slow reader.

        Args:
            after: the cursor of what was read before.
            until: a cursor to stop at; by default that of now.
        """
        where = chosen(model, after=after, until=self.cursor() if until is None else until)
        return iter_pages(self, where, (votes.c.created, votes.c.id))

    def by_pair(self, model: str | None = None, *, after: int = 0, until: int | None = None) -> Iterator[list[Vote]]:
        """All votes on each pair that was voted on after a cursor, in order of time; a pair is the same swapped."""
        until = self.cursor() if until is None else until
        fresh = select(votes.c.pair).where(*chosen(model, after=after, until=until))
        where = [*chosen(model, until=until), votes.c.pair.in_(fresh)]
        found = iter_pages(self, where, (votes.c.pair, votes.c.created, votes.c.id))
        for _, group in groupby(found, key=lambda vote: pair_key(vote.pair)):
            yield list(group)

    def count(self, model: str | None = None, *, after: int = 0) -> int:
        """How many votes."""
        query = select(func.count()).select_from(votes).where(*chosen(model, after=after))
        with self.read() as connection:
            return int(connection.execute(query).scalar_one())

    def delete_voter(self, voter: str) -> int:
        """Delete a voter's votes and their predictions; returns the number of votes.

        SQLite overwrites what is deleted; PostgreSQL's files and archives forget it with VACUUM and their own age.
        """
        with self.write() as connection:
            theirs = select(votes.c.number).where(votes.c.voter == voter)
            connection.execute(delete(predictions).where(predictions.c.number.in_(theirs)))
            gone = connection.execute(delete(votes).where(votes.c.voter == voter)).rowcount
        self.scrub()
        return gone

    def predict(self, vote_id: str, digest: str, prediction: Prediction) -> None:
        """Keep what a version says of a vote's pair. The first stays; a vote that was deleted gets none."""
        columns = [literal(value) for value in (digest, *asdict(prediction).values())]
        source = select(votes.c.number, *columns).where(votes.c.id == vote_id)
        names = ["number", "digest", *asdict(prediction)]
        with self.write() as connection:
            statement = self._insert(predictions).from_select(names, source).on_conflict_do_nothing()
            connection.execute(statement)

    def unpredicted(self, model: str, digest: str, since: float | None = None, limit: int = _LIMIT) -> list[Vote]:
        """Return the first votes, by (created, id), that a version has no prediction for."""
        there = select(predictions.c.number).where(
            predictions.c.number == votes.c.number, predictions.c.digest == digest
        )
        query = select(votes).where(*chosen(model, since), ~there.exists())
        with self.read() as connection:
            found = connection.execute(query.order_by(votes.c.created, votes.c.id).limit(limit))
            return [to_vote(row) for row in found]

    def judged(
        self, model: str, digests: Sequence[str], since: float | None = None, *, fresh: bool = False
    ) -> list[Judged]:
        """Return votes with these versions' predictions so far, by (created, id).

        Those that some version has not predicted are there too: whoever compares versions counts what is missing.

        Args:
            fresh: leave out votes on prompts that anybody had voted on before `since`: a version made then may have
                been trained on those, and a new vote on what it has learned by heart only flatters it.
        """
        sides = [predictions.alias() for _ in digests]
        query = select(votes, *(column for side in sides for column in side.c[2:]))
        for side, digest in zip(sides, digests, strict=True):
            there = (side.c.number == votes.c.number) & (side.c.digest == digest)
            query = query.outerjoin(side, there)
        query = query.where(*chosen(model, since)).order_by(votes.c.created, votes.c.id)
        if fresh and since is not None:
            earlier = select(votes.c.prompt).where(votes.c.model == model, votes.c.created < since)
            query = query.where(votes.c.prompt.not_in(earlier))
        with self.read() as connection:
            return [to_judged(row, digests) for row in connection.execute(query)]

    def remember(self, pairs: Sequence[ScoredPair]) -> None:
        """Store pairs for votes by request id; a repeated request id refers to the later reply."""
        statement = self._insert(remembered)
        key = (remembered.c.request_id, remembered.c.place)
        changed = {column.name: statement.excluded[column.name] for column in remembered.c if column not in set(key)}
        statement = statement.on_conflict_do_update(index_elements=key, set_=changed)
        with self.write() as connection:
            connection.execute(statement, [values_of_scored_pair(pair) for pair in pairs])

    def find(self, request_id: str, index: int) -> ScoredPair | None:
        """The pair of a reply."""
        query = select(remembered).where(remembered.c.request_id == request_id, remembered.c.place == index)
        with self.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else to_scored_pair(row)

    def next_unvoted_pair(self, voter: str, *, since: float, avoid: Collection[str] = ()) -> ScoredPair | None:
        """A remembered pair that a voter has not voted on; see `queries.next_unvoted_pair`."""
        with self.read() as connection:
            return next_unvoted_pair(connection, voter, since=since, avoid=avoid)

    def forget(self, before: float) -> int:
        """Remove pairs that were remembered before a time; returns how many."""
        with self.write() as connection:
            return connection.execute(delete(remembered).where(remembered.c.created < before)).rowcount

    def stats(self) -> dict[str, Any]:
        """Count votes by model and kind, voters, pairs, predictions and remembered pairs; with the cursor."""
        kind = votes.c.graded.label("graded")
        with self.read() as connection:
            by_model = connection.execute(
                select(votes.c.model, kind, func.count()).group_by(votes.c.model, kind).order_by(votes.c.model, kind)
            ).all()
            voters, pairs = connection.execute(
                select(func.count(votes.c.voter.distinct()), func.count(votes.c.pair.distinct()))
            ).one()
            rows = {
                table: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (predictions, remembered)
            }
        models: dict[str, dict[str, int]] = {}
        for model, graded, number in by_model:
            models.setdefault(model, {"choices": 0, "graded": 0})["graded" if graded else "choices"] = number
        return {
            "models": models, "voters": voters, "pairs": pairs, "predictions": rows[predictions],
            "remembered": rows[remembered], "cursor": self.cursor(),
        }  # fmt: skip

    def _insert(self, table: Any) -> Any:
        """The dialect's INSERT: ON CONFLICT is in both, and in neither's standard."""
        return (sqlite if self.sqlite else postgresql).insert(table)


def _by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Vote]:
    return {row.id: to_vote(row) for row in connection.execute(select(votes).where(votes.c.id.in_(ids)))}
