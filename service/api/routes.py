"""The native routes: decode, call the Scorer, shape the reply. No logic of their own."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api import schemas
from service.api.calls import RequestScorer
from service.api.openapi import answers, failures, request_body
from service.api.paths import RouteGroup
from service.api.shapes import NATIVE, ErrorBody
from service.feedback.intake import scored_pairs
from service.feedback.records import ScoredPair
from service.wire import Model, PreferencePair, ScoredItem, malformed, to_item, too_deep

Body = TypeVar("Body", bound=msgspec.Struct)
WIRE = (
    schemas.ScoreRequest,
    schemas.ScoreResponse,
    schemas.PreferenceRequest,
    schemas.PreferenceResponse,
    schemas.RankRequest,
    schemas.RankResponse,
    schemas.ModelsResponse,
    ErrorBody,
)
"""Everything that OpenAPI describes."""
_SCORE = msgspec.json.Decoder(schemas.ScoreRequest)
_PREFERENCE = msgspec.json.Decoder(schemas.PreferenceRequest)
_RANK = msgspec.json.Decoder(schemas.RankRequest)
ERRORS = failures(
    {
        401: "A key is needed, or does not open this",
        404: "No such model, alias or version",
        413: "The body is too large",
        415: "Not plain application/json",
        422: "Malformed or over a limit; nothing was computed",
        503: "Full, shutting down or not ready: see Retry-After",
        504: "The deadline passed",
    }
)
_ITEM = {"prompt": "Name a prime number above ten.", "response": "Eleven."}
_PAIR = {"prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve."}
_GROUP = {"prompt": "Name a prime number above ten.", "responses": ["Twelve.", "Eleven."], "advantages": True}


def native_routes(caller: RequestScorer, remember: Callable[[Sequence[ScoredPair]], None] | None = None) -> RouteGroup:
    """`/rm/v1`: score, preference, rank, models.

    Args:
        remember: takes the pairs of a reply, so that votes can name them; returns at once.
    """
    router = APIRouter(prefix="/rm/v1", responses=ERRORS, default_response_class=Response, tags=["native"])

    @router.post(
        "/score",
        responses=answers(schemas.ScoreResponse),
        summary="Rewards of (prompt, response) items",
        openapi_extra=request_body(schemas.ScoreRequest, {"items": [_ITEM]}),
    )
    async def score(request: Request) -> Response:
        body = decode(_SCORE, await request.body())
        items = [to_item(item.prompt, item.response) for item in body.items]
        scored = await caller.score(request, items, model=body.model)
        entries = [ScoredItem.of(outcome) for outcome in scored.outcomes]
        model = Model.of(scored.manifest, scored.digest)
        return JsonReply(schemas.ScoreResponse(request.scope["request_id"], model, entries))

    @router.post(
        "/preference",
        responses=answers(schemas.PreferenceResponse),
        summary="Calibrated P(a preferred) of pairs",
        openapi_extra=request_body(schemas.PreferenceRequest, {"pairs": [_PAIR]}),
    )
    async def preference(request: Request) -> Response:
        body = decode(_PREFERENCE, await request.body())
        sides = [(pair.prompt, text) for pair in body.pairs for text in (pair.response_a, pair.response_b)]
        items = [to_item(*side) for side in sides]
        scored = await caller.score(request, items, model=body.model)
        request_id, sources = request.scope["request_id"], [pair.source for pair in body.pairs]
        outcomes, model = scored.outcomes, Model.of(scored.manifest, scored.digest)
        judged = zip(outcomes[::2], outcomes[1::2], sources, strict=True)
        pairs = [PreferencePair.of(a, b, scored.calibrator, source) for a, b, source in judged]
        if remember:
            labels = request.scope["labels"]
            remember(scored_pairs(request_id, items, model, pairs, sources=sources, labels=labels, now=time.time()))
        return JsonReply(schemas.PreferenceResponse(request_id, model, pairs))

    @router.post(
        "/rank",
        responses=answers(schemas.RankResponse),
        summary="Best of n: order, weights, win matrix, group advantages",
        openapi_extra=request_body(schemas.RankRequest, _GROUP),
    )
    async def rank(request: Request) -> Response:
        body = decode(_RANK, await request.body())
        items = [to_item(body.prompt, text) for text in body.responses]
        scored = await caller.score(request, items, model=body.model)
        asked = {"win_matrix": body.win_matrix, "advantages": body.advantages}
        return JsonReply(schemas.RankResponse.of(scored, request.scope["request_id"], **asked, source=body.source))

    @router.get(
        "/models", responses=answers(schemas.ModelsResponse), summary="Served versions, refused versions and why"
    )
    async def models() -> Response:
        return JsonReply(schemas.ModelsResponse.of(caller.live.snapshot, caller.live.statuses))

    return RouteGroup(router, NATIVE, direct=True)


class JsonReply(Response):
    """A reply as JSON: a struct, or what msgspec encodes besides."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode the reply."""
        return msgspec.json.encode(content)


def decode(decoder: "msgspec.json.Decoder[Body]", body: bytes) -> Body:
    """Read a JSON body strictly; raises MalformedRequest without echoing it."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from None
    except RecursionError:
        raise too_deep() from None
