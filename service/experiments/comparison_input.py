"""From items, pairs and scores to what `compare` takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from plurality.core.rows import ComparedRow, Votes
from service.domain import Reward, ScoreItem
from service.errors import MalformedRequest
from service.experiments.assign import neighbors
from service.experiments.compare import Pairs, VersionScores
from service.scoring import Scored
from service.telemetry.metrics import SHORT_DIGEST
from service.wire import ComparePair, WireItem, WireVotes, to_item


def pair_items(pairs: Sequence[ComparePair]) -> list[ScoreItem]:
    """a, b, a, b, ... in order."""
    return [to_item(pair.prompt, text) for pair in pairs for text in (pair.response_a, pair.response_b)]


def to_items(items: Sequence[WireItem]) -> list[ScoreItem]:
    """The domain's items."""
    return [to_item(item.prompt, item.response) for item in items]


def judged_pairs(pairs: Sequence[ComparePair | ComparedRow], shares: Sequence[float | None] | None = None) -> Pairs:
    """Index the pairs of `pair_items`, with people's votes.

    Args:
        shares: p* of each pair where it is known otherwise than from its votes.

    Raises:
        MalformedRequest: votes that are all zero.
    """
    places = np.arange(0, 2 * len(pairs), 2)
    given = [_share(pair.votes, place) for place, pair in enumerate(pairs)]
    share = [one if one is not None else other for one, other in zip(shares or given, given, strict=True)]
    label = [pair.label if pair.label is not None else one for pair, one in zip(pairs, share, strict=True)]
    return Pairs(places, places + 1, _known(label), _known(share), [pair.source for pair in pairs])


def neighbor_pairs(items: Sequence[ScoreItem]) -> Pairs:
    """Pair each item with the previous item of the same prompt; unlabeled."""
    found = neighbors(items)
    places = np.array(found, dtype=np.intp).reshape(-1, 2)
    nothing = np.full(len(found), np.nan)
    return Pairs(places[:, 0], places[:, 1], nothing, nothing, [None] * len(found))


def version_scores(scored: Sequence[Scored], name: str) -> VersionScores:
    """A version's rewards of all items, in as many answers as it took."""
    outcomes = [outcome for one in scored for outcome in one.outcomes]
    rewards = [outcome.value if isinstance(outcome, Reward) else np.nan for outcome in outcomes]
    named = f"{name.partition('@')[0]}@{scored[0].digest[:SHORT_DIGEST]}" if scored else name
    return VersionScores(named, np.array(rewards, dtype=np.float64), scored[0].calibrator)


def _share(votes: WireVotes | Votes | None, place: int) -> float | None:
    if votes is None:
        return None
    total = votes.a + votes.b + votes.tie
    if not total:
        raise MalformedRequest("votes are all zero: leave the field out instead", param=f"pairs[{place}].votes")
    return (votes.a + 0.5 * votes.tie) / total


def _known(values: Sequence[float | None]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
