"""The native routes: decode, call the Scorer, shape the reply. No logic of their own."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from service.api import replies, schemas
from service.api.errors import ErrorBody, malformed
from service.api.openapi import content_of, request_body
from service.domain import ScoreItem, ScoreQuery
from service.errors import MalformedRequest
from service.repository.live import Live
from service.scoring import Scored, Scorer
from service.settings import LimitSettings
from service.telemetry.metrics import SHORT_DIGEST

Body = TypeVar("Body", bound=msgspec.Struct)
Result = TypeVar("Result")
TIMEOUT_HEADER = "x-request-timeout-ms"
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
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"content": content_of(ErrorBody), "description": text}
    for status, text in {
        404: "No such model, alias or version",
        413: "The body is too large",
        415: "Not plain application/json",
        422: "Malformed or over a limit; nothing was computed",
        503: "Full, shutting down or not ready: see Retry-After",
        504: "The deadline passed",
    }.items()
}
_ITEM = {"prompt": "Name a prime number above ten.", "response": "Eleven."}
_PAIR = {"prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve."}
_GROUP = {"prompt": "Name a prime number above ten.", "responses": ["Twelve.", "Eleven."], "advantages": True}


def native_routes(scorer: Scorer, live: Live, limits: LimitSettings) -> APIRouter:
    """`/rm/v1`: score, preference, rank, models."""
    router = APIRouter(prefix="/rm/v1", responses=_ERRORS, default_response_class=Response)

    async def run(request: Request, model: str | None, items: list[ScoreItem]) -> Scored:
        query = ScoreQuery(items, model, _deadline(request, limits))
        scored = await unless_disconnected(request, scorer.score(query))
        request.scope["labels"] |= {"model": scored.manifest.model, "version": scored.digest[:SHORT_DIGEST]}
        return scored

    @router.post(
        "/score",
        responses=_answers(schemas.ScoreResponse),
        summary="Rewards of (prompt, response) items",
        openapi_extra=request_body(schemas.ScoreRequest, {"items": [_ITEM]}),
    )
    async def score(request: Request) -> Response:
        body = decode(_SCORE, await request.body())
        items = [schemas.to_item(item.prompt, item.response) for item in body.items]
        scored = await run(request, body.model, items)
        return _json(replies.score(scored, request.scope["request_id"]))

    @router.post(
        "/preference",
        responses=_answers(schemas.PreferenceResponse),
        summary="Calibrated P(a preferred) of pairs",
        openapi_extra=request_body(schemas.PreferenceRequest, {"pairs": [_PAIR]}),
    )
    async def preference(request: Request) -> Response:
        body = decode(_PREFERENCE, await request.body())
        sides = [(pair.prompt, text) for pair in body.pairs for text in (pair.response_a, pair.response_b)]
        scored = await run(request, body.model, [schemas.to_item(*side) for side in sides])
        return _json(replies.preference(scored, request.scope["request_id"]))

    @router.post(
        "/rank",
        responses=_answers(schemas.RankResponse),
        summary="Best of n: order, weights, win matrix, group advantages",
        openapi_extra=request_body(schemas.RankRequest, _GROUP),
    )
    async def rank(request: Request) -> Response:
        body = decode(_RANK, await request.body())
        scored = await run(request, body.model, [schemas.to_item(body.prompt, text) for text in body.responses])
        reply = replies.rank(
            scored, request.scope["request_id"], win_matrix=body.win_matrix, advantages=body.advantages
        )
        return _json(reply)

    @router.get(
        "/models", responses=_answers(schemas.ModelsResponse), summary="Served versions, refused versions and why"
    )
    async def models() -> Response:
        return _json(replies.models(live.snapshot))

    return router


def decode(decoder: "msgspec.json.Decoder[Body]", body: bytes) -> Body:
    """Read a JSON body strictly; raises MalformedRequest without echoing it."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from None


def _answers(model: type[msgspec.Struct]) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": content_of(model), "description": "The answer"}}


def _json(reply: replies.Json) -> Response:
    return Response(msgspec.json.encode(reply), media_type="application/json")


def _deadline(request: Request, limits: LimitSettings) -> float:
    """The caller's time limit from X-Request-Timeout-Ms, else the default; on the loop's clock."""
    given = request.headers.get(TIMEOUT_HEADER)
    seconds = limits.default_timeout_s
    if given is not None:
        if not (given.isascii() and given.isdigit() and len(given) <= 9 and int(given) > 0):
            raise MalformedRequest(f"{TIMEOUT_HEADER} is a whole number of milliseconds", param=TIMEOUT_HEADER)
        seconds = int(given) / 1000
    return asyncio.get_running_loop().time() + min(seconds, limits.max_timeout_s)


async def unless_disconnected(request: Request, work: Awaitable[Result]) -> Result:
    """Await `work`, but cancel it as soon as the client has gone: uvicorn itself would let it run on.

    Raises:
        ClientDisconnect: the client has gone; nobody is there to be answered.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            raise ClientDisconnect
        return await task
    finally:
        gone.cancel()
        task.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
