"""Which remembered pair a person is shown next."""

import secrets
from collections.abc import Collection

from sqlalchemy import Connection, select

from service.feedback.records import ScoredPair
from service.feedback.rows import to_scored_pair
from service.feedback.tables import pair_key, remembered, votes

_PAGE = 200


def unjudged(connection: Connection, voter: str, *, since: float, avoid: Collection[str] = ()) -> ScoredPair | None:
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
    while rows := connection.execute(newest.limit(_PAGE).offset(start)).all():
        found = [pair for pair in map(to_scored_pair, rows) if _asks(pair, done)]
        if found:
            return secrets.choice(found)
        start += _PAGE
    return None


def _asks(pair: ScoredPair, done: Collection[str]) -> bool:
    return pair.pair.response_a != pair.pair.response_b and pair_key(pair.pair) not in done
