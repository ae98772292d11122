"""`/rm/v1/feedback`: votes in, training rows out, and a voter's deletion. Each opened by a key of its own."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from plurality.core.errors import PluralityError
from service.api import votes as wire
from service.api.calls import Caller
from service.api.errors import ErrorBody, item_error, malformed
from service.api.openapi import content_of, query_parameters, request_body
from service.api.paths import Surface
from service.api.routes import decode
from service.api.shapes import NATIVE
from service.errors import FeedbackConflict, MalformedRequest, UnknownModel, UnknownReply
from service.feedback.export import training_rows
from service.feedback.parts import FeedbackParts, Kept
from service.feedback.records import JudgedPair, ScoredPair, Vote
from service.telemetry.metrics import Metrics

WIRE = (wire.VotesRequest, wire.VotesResponse, wire.DeletedVotes)
CURSOR_HEADER = "x-feedback-cursor"
_VOTES = msgspec.json.Decoder(wire.VotesRequest)
_ROWS_A_CHUNK = 100
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"content": content_of(ErrorBody), "description": text}
    for status, text in {
        401: "No key, or one that does not open this",
        403: "No key or no database is configured",
        422: "Malformed; nothing was stored",
        503: "The database does not answer: see Retry-After",
    }.items()
}
_EXAMPLE = {
    "votes": [
        {
            "id": "vote-1", "voter": "k3f9a1", "vote": {"a": 7, "b": 3}, "category": "subjective",
            "prompt": "Name a prime number above ten.", "response_a": "Eleven.", "response_b": "Twelve.",
        }
    ]
}  # fmt: skip


def feedback_routes(caller: Caller, parts: FeedbackParts, metrics: Metrics) -> tuple[Surface, Surface]:
    """What a feedback key opens, and what only an admin key does."""
    router = APIRouter(prefix="/rm/v1/feedback", responses=_ERRORS, tags=["feedback"])
    admin = APIRouter(prefix="/rm/v1/feedback", responses=_ERRORS, tags=["feedback"])

    @router.post(
        "",
        responses={
            200: {"content": content_of(wire.VotesResponse), "description": "The answer"},
            409: {"content": content_of(ErrorBody), "description": "An id of another vote; nothing was stored"},
        },
        summary="Store people's votes on pairs",
        openapi_extra=request_body(wire.VotesRequest, _EXAMPLE),
    )
    async def vote(request: Request) -> Response:
        parts.require()
        body = decode(_VOTES, await request.body())
        replies = await take_votes(caller, parts, metrics, body.votes)
        return _json({"request_id": request.scope["request_id"], "votes": replies})

    @router.get(
        "/export",
        responses={200: {"content": {"application/x-ndjson": {}}, "description": "A row of training data a line"}},
        summary="Votes as training data",
        openapi_extra={"parameters": query_parameters(wire.ExportQuery)},
    )
    async def export(request: Request) -> Response:
        asked = _query(request)
        kept = parts.require()
        store = kept.store
        cursor = await kept.call(store.cursor)
        chunks = _lines(training_rows(store, asked.rows, model=asked.model, after=asked.after, until=cursor))
        first = await kept.call(next, chunks, b"")
        headers = {CURSOR_HEADER: str(cursor), "cache-control": "no-store"}
        return StreamingResponse(chain([first], chunks), media_type="application/x-ndjson", headers=headers)

    @admin.delete(
        "/voters/{voter}",
        responses={200: {"content": content_of(wire.DeletedVotes), "description": "The answer"}},
        summary="Delete a voter's votes, and what was predicted for them",
    )
    async def delete(voter: str) -> Response:
        kept = parts.require()
        if not re.fullmatch(wire.VOTER, voter):
            raise MalformedRequest("a voter is a key of 1 to 64 letters, digits, - and _", param="voter")
        return _json({"deleted": await kept.call(kept.store.delete_voter, voter)})

    return Surface(router, NATIVE, "feedback"), Surface(admin, NATIVE, "admin")


async def take_votes(
    caller: Caller, parts: FeedbackParts, metrics: Metrics, votes: Sequence[wire.WireVote]
) -> list[dict[str, Any]]:
    """Store votes, and say of each what became of it.

    Raises:
        InvalidInput: a vote that cannot be; nothing was stored.
        FeedbackDisabled, FeedbackConflict, FeedbackUnavailable, NotReady: nothing was stored.
    """
    kept = parts.require()
    longest = caller.limits.max_characters_per_item
    subjects = [wire.subject(vote, place, longest=longest) for place, vote in enumerate(votes)]
    models = _models(caller, votes, subjects)
    return await kept.call(_take, kept, metrics, votes, subjects, models)


def _query(request: Request) -> wire.ExportQuery:
    given = request.query_params
    if len(given.multi_items()) != len(given):
        raise MalformedRequest("a parameter is given twice")
    try:
        return msgspec.convert(dict(given), wire.ExportQuery, strict=False)
    except msgspec.ValidationError as error:
        raise malformed(error) from None


def _models(
    caller: Caller, votes: Sequence[wire.WireVote], subjects: Sequence[wire.Place | JudgedPair]
) -> Mapping[str | None, str | UnknownModel]:
    """Names of the models that votes on whole pairs are for; raises NotReady while there is none."""
    found: dict[str | None, str | UnknownModel] = {}
    for vote, subject in zip(votes, subjects, strict=True):
        if isinstance(subject, JudgedPair) and vote.model not in found:
            try:
                with caller.live.pin(caller.resolve(vote.model)) as bundle:
                    found[vote.model] = bundle.manifest.model
            except UnknownModel as error:
                found[vote.model] = error
    return found


def _take(
    kept: Kept,
    metrics: Metrics,
    votes: Sequence[wire.WireVote],
    subjects: Sequence[wire.Place | JudgedPair],
    models: Mapping[str | None, str | UnknownModel],
) -> list[dict[str, Any]]:
    """Store what can be; one reply a vote. Blocking."""
    now = time.time()
    results = [_vote(kept, vote, subject, models, now=now) for vote, subject in zip(votes, subjects, strict=True)]
    places = [place for place, result in enumerate(results) if isinstance(result, Vote)]
    try:
        statuses = kept.store.add([result for result in results if isinstance(result, Vote)])
    except FeedbackConflict as error:
        raise FeedbackConflict(error.message, place=places[error.place]) from None
    replies = [
        {"id": vote.id, "error": item_error(result)} if isinstance(result, PluralityError) else {"id": vote.id}
        for vote, result in zip(votes, results, strict=True)
    ]
    for place, status in zip(places, statuses, strict=True):
        replies[place]["status"] = status
        result = results[place]
        if status == "stored" and isinstance(result, Vote):
            metrics.feedback_votes.labels(result.model, wire.kind(votes[place])).inc()
    return replies


def _vote(
    kept: Kept,
    given: wire.WireVote,
    subject: wire.Place | JudgedPair,
    models: Mapping[str | None, str | UnknownModel],
    *,
    now: float,
) -> Vote | PluralityError:
    """The record of a vote, or why there is none."""
    shown: Vote | ScoredPair | None = None
    if isinstance(subject, wire.Place):
        shown = kept.recorder.find(subject.request_id, subject.index) or _known(kept, given)
        if shown is None:
            return UnknownReply("no pair is remembered under this request_id and index: give it whole")
        pair, model = shown.pair, shown.model
    else:
        pair, named = subject, models[given.model]
        if isinstance(named, UnknownModel):
            return named
        model = named
    return Vote(
        id=given.id,
        pair=pair,
        share_a=wire.share_a(given),
        voter=given.voter,
        model=model,
        created=now,
        graded=isinstance(given.vote, wire.Estimate),
        category=given.category,
        source=given.source or (shown.source if shown else None),
        request_id=given.request_id,
        experiment=shown.experiment if shown else None,
        arm=shown.arm if shown else None,
    )


def _known(kept: Kept, given: wire.WireVote) -> Vote | None:
    """The same vote sent again after its pair was forgotten."""
    before = kept.store.get([given.id]).get(given.id)
    return before if before and before.request_id == given.request_id else None


def _lines(rows: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    while chunk := list(islice(rows, _ROWS_A_CHUNK)):
        yield b"".join(msgspec.json.encode(row) + b"\n" for row in chunk)


def _json(reply: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(reply), media_type="application/json")
