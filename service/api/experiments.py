"""`/rm/v1/experiments`: what runs, how it goes, and with an admin key what is to run."""

import asyncio
from collections.abc import Sequence

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from plurality.core.errors import ConfigurationError
from service.api.calls import unless_disconnected
from service.api.experiment_records import Deleted, ExperimentsResponse, ExperimentState, WireExperiment
from service.api.keys import Keys
from service.api.openapi import answers, failures, request_body
from service.api.paths import RouteGroup
from service.api.routes import JsonReply, decode
from service.api.shapes import NATIVE
from service.errors import ExperimentConflict, FeedbackDisabled, MalformedRequest, UnknownExperiment, WritesDisabled
from service.experiments.definition import Experiment, parse_experiment
from service.experiments.predict import residents, votes_since
from service.experiments.registry import DefinitionStore, Entry
from service.experiments.reporting import ArmReport, report_on
from service.experiments.running import Experiments
from service.versions.live import Live

_PUT = msgspec.json.Decoder(WireExperiment)
_ERRORS = failures(
    {
        401: "No key, or one that does not open this",
        403: "No admin key or no database is configured",
        404: "No such experiment",
        409: "Another definition is in the way",
        422: "A definition that cannot be; the key is named",
        503: "The database does not answer: see Retry-After",
    }
)
_EXAMPLE = {
    "model": "demo",
    "control": "current",
    "arms": [
        {"name": "current", "version": "stable", "weight": 90},
        {"name": "new", "version": "candidate", "weight": 10},
    ],
}


def experiment_routes(parts: Experiments, live: Live, keys: Keys) -> RouteGroup:
    """Reading is open as scoring is; writing needs an admin key and a database."""
    router = APIRouter(prefix="/rm/v1/experiments", responses=_ERRORS, tags=["experiments"])
    registry, reading, writing = parts.registry, asyncio.Lock(), asyncio.Lock()

    @router.get("", responses=answers(ExperimentsResponse), summary="Experiments and how their arms do")
    async def every() -> Response:
        return JsonReply(ExperimentsResponse([ExperimentState.of(entry, live) for entry in registry.entries.values()]))

    @router.get("/{name}", responses=answers(ExperimentState), summary="One experiment")
    async def one(name: str) -> Response:
        return JsonReply(ExperimentState.of(_entry(parts, name), live))

    @router.get(
        "/{name}/report",
        responses={200: {"content": {"application/json": {}}, "description": "A report and a verdict for each arm"}},
        summary="Each arm against the control on the votes so far: may be looked at at any time",
    )
    async def report(name: str, request: Request) -> Response:
        entry = _entry(parts, name)
        if parts.votes is None:
            raise FeedbackDisabled("reports are made of votes, and no database is configured: set feedback.url")
        votes, versions = parts.votes, residents(entry.experiment, live)

        async def made() -> Sequence[ArmReport]:
            async with reading:
                return await asyncio.to_thread(report_on, entry, versions, votes)

        found = await unless_disconnected(request, made())  # who has left waits for no report
        return JsonReply({"experiment": name, "votes_since": votes_since(entry.experiment, versions), "arms": found})

    @router.put(
        "/{name}",
        responses=answers(ExperimentState),
        summary="Define an experiment, or change it",
        openapi_extra=request_body(WireExperiment, _EXAMPLE),
    )
    async def put(name: str, request: Request) -> Response:
        store = _writable(parts, keys, request)
        experiment = _parse(name, await request.body())
        async with writing:
            await registry.refresh()
            if problem := registry.conflict(experiment):
                raise ExperimentConflict(problem)
            await asyncio.to_thread(store.put, experiment)
            await registry.refresh()
        return JsonReply(ExperimentState.of(_entry(parts, name), live))

    @router.delete("/{name}", responses=answers(Deleted), summary="End an experiment; its votes stay")
    async def delete(name: str, request: Request) -> Response:
        store = _writable(parts, keys, request)
        known = registry.entries.get(name)
        if known and known.origin == "file":
            raise ExperimentConflict("this experiment is defined in the file: take it out there")
        gone = await asyncio.to_thread(store.delete, name)
        await registry.refresh()
        if not gone:
            raise _unknown(parts)
        return JsonReply(Deleted(name))

    return RouteGroup(router, NATIVE)


def _writable(parts: Experiments, keys: Keys, request: Request) -> DefinitionStore:
    keys.require(request, "admin")
    if parts.table is None:
        raise WritesDisabled(
            "definitions are kept in the feedback database, and none is configured: set feedback.url, or define the "
            "experiment in the YAML file that experiments.file names"
        )
    return parts.table


def _parse(name: str, body: bytes) -> Experiment:
    raw = {"name": name, **msgspec.to_builtins(decode(_PUT, body))}
    try:
        return parse_experiment(raw)
    except ConfigurationError as error:
        raise MalformedRequest(error.message, param=error.param) from None


def _entry(parts: Experiments, name: str) -> Entry:
    try:
        return parts.registry.entries[name]
    except KeyError:
        raise _unknown(parts) from None


def _unknown(parts: Experiments) -> UnknownExperiment:
    known = ", ".join(sorted(parts.registry.entries)) or "none"
    return UnknownExperiment(f"no such experiment; defined: {known}", param="name")
