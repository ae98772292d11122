"""`GET /rm/v1/watch`: what the rewards of each resident version look like lately, for people."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from msgspec import Meta

from service.api.openapi import answers
from service.api.paths import RouteGroup
from service.api.routes import JsonReply
from service.api.shapes import NATIVE
from service.drift.monitor import Watch
from service.versions.live import Live
from service.wire import Model, Wire


class WatchedVersion(Wire):
    """One version's figures."""

    model: Model
    readings: Annotated[
        dict[str, float],
        Meta(description="By the gauges' names without `rm_`; what there are too few rewards for is left out."),
    ]


class WatchResponse(Wire):
    """Every resident version."""

    versions: list[WatchedVersion]


def watch_routes(live: Live, watch: Watch) -> RouteGroup:
    """The route and its shape of errors."""
    router = APIRouter(prefix="/rm/v1", default_response_class=Response, tags=["native"])

    @router.get(
        "/watch",
        responses=answers(WatchResponse),
        summary="Drift, saturation, length and spread of rewards, by version",
    )
    async def watched() -> Response:
        bundles, readings = live.snapshot.resident, watch.readings()
        versions = [
            WatchedVersion(Model.of(bundle.manifest, digest), readings.get(digest, {}))
            for digest, bundle in bundles.items()
        ]
        return JsonReply(WatchResponse(versions))

    return RouteGroup(router, NATIVE)
