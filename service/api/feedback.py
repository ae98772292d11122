"""`/rm/v1/feedback`: votes in, training rows out, and a voter's deletion. Each opened by a key of its own."""

import re
from collections.abc import Iterator
from itertools import chain, islice

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from plurality.core.rows import PreferenceRow
from service.api import votes as wire
from service.api.openapi import answers, failures, query_parameters, request_body
from service.api.paths import RouteGroup
from service.api.routes import JsonReply, decode
from service.api.shapes import NATIVE
from service.errors import MalformedRequest
from service.feedback.export import json_line, training_rows
from service.feedback.intake import Intake
from service.feedback.running import Feedback
from service.feedback.wire import VOTER
from service.wire import malformed

WIRE = (wire.VotesRequest, wire.VotesResponse, wire.DeletedVotes)
CURSOR_HEADER = "x-feedback-cursor"
_VOTES = msgspec.json.Decoder(wire.VotesRequest)
_ROWS_A_CHUNK = 100
_ERRORS = failures(
    {
        401: "No key, or one that does not open this",
        403: "No key or no database is configured",
        422: "Malformed; nothing was stored",
        503: "The database does not answer: see Retry-After",
    }
)
_EXAMPLE = {
    "votes": [
        {
            "id": "vote-1", "voter": "k3f9a1", "vote": {"a": 7, "b": 3}, "category": "subjective",
            "prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve.",
        }
    ]
}  # fmt: skip


def feedback_routes(feedback: Feedback, intake: Intake) -> tuple[RouteGroup, RouteGroup]:
    """What a feedback key opens, and what only an admin key does."""
    router = APIRouter(prefix="/rm/v1/feedback", responses=_ERRORS, tags=["feedback"])
    admin = APIRouter(prefix="/rm/v1/feedback", responses=_ERRORS, tags=["feedback"])

    @router.post(
        "",
        responses=answers(wire.VotesResponse) | failures({409: "An id of another vote; nothing was stored"}),
        summary="Store people's votes on pairs",
        openapi_extra=request_body(wire.VotesRequest, _EXAMPLE),
    )
    async def vote(request: Request) -> Response:
        feedback.require()
        body = decode(_VOTES, await request.body())
        became = zip(body.votes, await intake.take(body.votes), strict=True)
        entries = [wire.VoteReply.of(vote.id, one) for vote, one in became]
        return JsonReply(wire.VotesResponse(request.scope["request_id"], entries))

    @router.get(
        "/export",
        responses={200: {"content": {"application/x-ndjson": {}}, "description": "A row of training data a line"}},
        summary="Votes as training data",
        openapi_extra={"parameters": query_parameters(wire.ExportQuery)},
    )
    async def export(request: Request) -> Response:
        asked = _query(request)
        kept = feedback.require()
        store = kept.store
        cursor = await kept.call(store.cursor)
        chunks = _lines(training_rows(store, asked.rows, model=asked.model, after=asked.after, until=cursor))
        first = await kept.call(next, chunks, b"")
        headers = {CURSOR_HEADER: str(cursor), "cache-control": "no-store"}
        return StreamingResponse(chain([first], chunks), media_type="application/x-ndjson", headers=headers)

    @admin.delete(
        "/voters/{voter}",
        responses=answers(wire.DeletedVotes),
        summary="Delete a voter's votes, and what was predicted for them",
    )
    async def delete(voter: str) -> Response:
        kept = feedback.require()
        if not re.fullmatch(VOTER, voter):
            raise MalformedRequest("a voter is a key of 1 to 64 letters, digits, - and _", param="voter")
        return JsonReply(wire.DeletedVotes(await kept.call(kept.store.delete_voter, voter)))

    return RouteGroup(router, NATIVE, "feedback"), RouteGroup(admin, NATIVE, "admin")


def _query(request: Request) -> wire.ExportQuery:
    given = request.query_params
    if len(given.multi_items()) != len(given):
        raise MalformedRequest("a parameter is given twice")
    try:
        return msgspec.convert(dict(given), wire.ExportQuery, strict=False)
    except msgspec.ValidationError as error:
        raise malformed(error) from None


def _lines(rows: Iterator[PreferenceRow]) -> Iterator[bytes]:
    while chunk := list(islice(rows, _ROWS_A_CHUNK)):
        yield b"".join(map(json_line, chunk))
