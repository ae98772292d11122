"""POST /rm/v1/compare: the same texts on several versions, each pinned once, and what differs."""

from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.compare_records import ComparedItem, ComparedPair, CompareRequest, CompareResponse, WireComparison
from service.api.openapi import answers, request_body
from service.api.paths import RouteGroup
from service.api.routes import ERRORS, JsonReply, decode
from service.api.shapes import NATIVE
from service.errors import MalformedRequest
from service.experiments.compare import compare
from service.experiments.comparison_input import (
    judged_pairs,
    neighbor_pairs,
    pair_items,
    to_items,
    version_scores,
)
from service.scoring import Scored
from service.wire import ComparePair, Model, PreferencePair, ScoredItem

_COMPARE = msgspec.json.Decoder(CompareRequest)
_EXAMPLE = {
    "models": ["tiny@stable", "tiny@stable"],
    "pairs": [
        {"prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve.", "label": 1},
        {"prompt": "Say hello.", "response_a": "Hello!", "response_b": "No.", "votes": {"a": 9, "b": 1}},
    ],
}


def compare_routes(caller: RequestScorer) -> RouteGroup:
    """`/rm/v1/compare`."""
    router = APIRouter(prefix="/rm/v1", responses=ERRORS, default_response_class=Response, tags=["native"])

    @router.post(
        "/compare",
        responses=answers(CompareResponse),
        summary="The same texts on several versions: rewards, flips, who predicts people better",
        openapi_extra=request_body(CompareRequest, _EXAMPLE),
    )
    async def answer(request: Request) -> Response:
        body = decode(_COMPARE, await request.body())
        if (body.pairs is None) == (body.items is None):
            raise MalformedRequest("give either pairs or items", param="pairs")
        items = pair_items(body.pairs) if body.pairs is not None else to_items(body.items or [])
        pairs = judged_pairs(body.pairs) if body.pairs is not None else neighbor_pairs(items)
        scored = await caller.score_each(request, items, models=body.models)
        versions = [version_scores([one], name) for one, name in zip(scored, body.models, strict=True)]
        found = compare(versions, [item.prompt for item in items], pairs)
        reply = CompareResponse(
            request.scope["request_id"],
            [Model.of(one.manifest, one.digest) for one in scored],
            WireComparison.of(found),
            pairs=None if body.pairs is None else _pairs(scored, body.pairs),
            items=_items(scored) if body.pairs is None else None,
        )
        return JsonReply(reply)

    return RouteGroup(router, NATIVE)


def _pairs(scored: Sequence[Scored], pairs: Sequence[ComparePair]) -> list[ComparedPair]:
    return [
        ComparedPair(
            [
                PreferencePair.of(one.outcomes[2 * i], one.outcomes[2 * i + 1], one.calibrator, pair.source)
                for one in scored
            ]
        )
        for i, pair in enumerate(pairs)
    ]


def _items(scored: Sequence[Scored]) -> list[ComparedItem]:
    rows = zip(*(one.outcomes for one in scored), strict=True)
    return [ComparedItem([ScoredItem.of(outcome) for outcome in row]) for row in rows]
