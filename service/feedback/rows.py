"""Between the records of feedback and the rows of its tables."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Row

from plurality.core.pairs import ResponsePair
from service.feedback.records import Judged, Prediction, ScoredPair, Vote
from service.feedback.tables import pair_key

_VOTE = (
    "id", "share_a", "voter", "model", "created", "graded", "category", "source", "request_id", "experiment", "arm",
)  # fmt: skip
_SCORED = ("request_id", "model", "digest", "created", "source", "experiment", "arm")


def content(vote: Vote) -> Vote:
    """What makes two votes of one id the same: all but what the server adds when it takes them."""
    return replace(vote, created=0.0, experiment=None, arm=None)


def values_of_vote(vote: Vote) -> dict[str, Any]:
    """A row of `votes`, without its number."""
    return {
        **_values_of_pair(vote.pair),
        **{name: getattr(vote, name) for name in _VOTE},
        "pair": pair_key(vote.pair),
    }


def to_vote(row: Row[Any]) -> Vote:
    """The vote of a row of `votes`."""
    return Vote(pair=_to_pair(row), **{name: getattr(row, name) for name in _VOTE})


def values_of_scored_pair(pair: ScoredPair) -> dict[str, Any]:
    """A row of `remembered`."""
    return {
        **_values_of_pair(pair.pair),
        **{name: getattr(pair, name) for name in _SCORED},
        **asdict(pair.prediction),
        "place": pair.index,
    }


def to_scored_pair(row: Row[Any]) -> ScoredPair:
    """The pair of a row of `remembered`."""
    prediction = Prediction(row.reward_a, row.reward_b, row.probability)
    named = {name: getattr(row, name) for name in _SCORED}
    return ScoredPair(pair=_to_pair(row), index=row.place, prediction=prediction, **named)


def to_judged(row: Row[Any], digests: Sequence[str]) -> Judged:
    """Join a row of `votes` with (reward_a, reward_b, probability) of each version, None where it has none."""
    last = tuple(row)[-3 * len(digests) :] if digests else ()
    sides = [last[3 * i : 3 * i + 3] for i in range(len(digests))]
    known = {digest: side for digest, side in zip(digests, sides, strict=True) if side[0] is not None}
    return Judged(to_vote(row), {digest: Prediction(*side) for digest, side in known.items()})


def _values_of_pair(pair: ResponsePair) -> dict[str, Any]:
    return {"prompt": pair.prompt, "response_a": pair.response_a, "response_b": pair.response_b}


def _to_pair(row: Row[Any]) -> ResponsePair:
    return ResponsePair(row.prompt, row.response_a, row.response_b)
