"""POST /rm/v1/compare: the same texts on several versions, each pinned once, and what differs."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any

import msgspec
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api import replies, schemas
from service.api.calls import Caller, unless_disconnected
from service.api.compare_records import ComparePair, CompareRequest, CompareResponse, WireVotes
from service.api.openapi import content_of, request_body
from service.api.paths import Surface
from service.api.routes import ERRORS, decode
from service.api.shapes import NATIVE
from service.domain import Prompt, Reward, ScoreItem
from service.errors import MalformedRequest
from service.experiments.assign import neighbours
from service.experiments.compare import Comparison, Pairs, VersionScores, compare
from service.scoring import Scored
from service.telemetry.metrics import SHORT_DIGEST

DRAWS = 200
"""Resamples behind an interval of a reply: few, for the service scores meanwhile. Offline there are more."""
_COMPARE = msgspec.json.Decoder(CompareRequest)
_EXAMPLE = {
    "models": ["tiny@stable", "tiny@stable"],
    "pairs": [
        {"prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve.", "label": 1},
        {"prompt": "Say hello.", "response_a": "Hello!", "response_b": "No.", "votes": {"a": 9, "b": 1}},
    ],
}


def compare_routes(caller: Caller) -> Surface:
    """`/rm/v1/compare`."""
    router = APIRouter(prefix="/rm/v1", responses=ERRORS, default_response_class=Response, tags=["native"])
    alone = asyncio.Semaphore(1)  # resampling takes a core

    @router.post(
        "/compare",
        responses={200: {"content": content_of(CompareResponse), "description": "The answer"}},
        summary="The same texts on several versions: rewards, flips, who predicts people better",
        openapi_extra=request_body(CompareRequest, _EXAMPLE),
    )
    async def answer(request: Request) -> Response:
        body = decode(_COMPARE, await request.body())
        if (body.pairs is None) == (body.items is None):
            raise MalformedRequest("give either pairs or items", param="pairs")
        items = pair_items(body.pairs) if body.pairs is not None else to_items(body.items or [])
        pairs = judged_pairs(body.pairs) if body.pairs is not None else neighbour_pairs(items)
        scored = await caller.score_each(request, items, models=body.models)
        versions = [version_scores([one], name) for one, name in zip(scored, body.models, strict=True)]
        prompts = prompts_of(items)

        async def compared() -> Comparison:
            async with alone:
                return await asyncio.to_thread(compare, versions, prompts, pairs, draws=DRAWS)

        found = await unless_disconnected(request, compared())
        reply = {
            "request_id": request.scope["request_id"],
            "models": [replies.model(one.manifest, one.digest) for one in scored],
            "comparison": found,
        }
        if body.pairs is None:
            reply["items"] = _items(scored)
        else:
            reply["pairs"] = _pairs(scored, body.pairs)
        return Response(msgspec.json.encode(reply), media_type="application/json")

    return Surface(router, NATIVE)


def pair_items(pairs: Sequence[ComparePair]) -> list[ScoreItem]:
    """a, b, a, b, ... in order."""
    return [schemas.to_item(pair.prompt, text) for pair in pairs for text in (pair.response_a, pair.response_b)]


def to_items(items: Sequence[schemas.WireItem]) -> list[ScoreItem]:
    """The domain's items."""
    return [schemas.to_item(item.prompt, item.response) for item in items]


def judged_pairs(pairs: Sequence[ComparePair], shares: Sequence[float | None] | None = None) -> Pairs:
    """Where the pairs of `pair_items` are, with what people said.

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


def neighbour_pairs(items: Sequence[ScoreItem]) -> Pairs:
    """Items beside the last before them of the same prompt; nobody said anything about them."""
    found = neighbours(items)
    places = np.array(found, dtype=np.intp).reshape(-1, 2)
    nothing = np.full(len(found), np.nan)
    return Pairs(places[:, 0], places[:, 1], nothing, nothing, [None] * len(found))


def version_scores(scored: Sequence[Scored], name: str) -> VersionScores:
    """A version's rewards of all items, in as many answers as it took."""
    outcomes = [outcome for one in scored for outcome in one.outcomes]
    rewards = [outcome.value if isinstance(outcome, Reward) else np.nan for outcome in outcomes]
    named = f"{name.partition('@')[0]}@{scored[0].digest[:SHORT_DIGEST]}" if scored else name
    return VersionScores(named, np.array(rewards, dtype=np.float64), scored[0].calibrator)


def prompts_of(items: Sequence[ScoreItem]) -> Sequence[Hashable]:
    """What is resampled together."""
    prompts: list[Prompt] = [item.prompt for item in items]
    return prompts


def _share(votes: WireVotes | None, place: int) -> float | None:
    if votes is None:
        return None
    total = votes.a + votes.b + votes.tie
    if not total:
        raise MalformedRequest("votes are all zero: leave the field out instead", param=f"pairs[{place}].votes")
    return (votes.a + 0.5 * votes.tie) / total


def _known(values: Sequence[float | None]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _pairs(scored: Sequence[Scored], pairs: Sequence[ComparePair]) -> list[replies.Json]:
    return [
        {
            "versions": [
                replies.pair(one.outcomes[2 * i], one.outcomes[2 * i + 1], one.calibrator, source=pair.source)
                for one in scored
            ]
        }
        for i, pair in enumerate(pairs)
    ]


def _items(scored: Sequence[Scored]) -> list[replies.Json]:
    return [
        {"versions": [replies.item(outcome) for outcome in row]}
        for row in zip(*(s.outcomes for s in scored), strict=True)
    ]
