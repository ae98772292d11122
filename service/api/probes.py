"""Probes and metrics, on a port of their own: they answer whatever the API is busy with.

`/livez` follows the event loop and nothing else: load must not get a pod killed. `/readyz` is what routing follows.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.admission import Gate
from service.telemetry.metrics import Metrics
from service.versions.live import Live

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_ops_app(live: Live, gate: Gate, metrics: Metrics) -> Starlette:
    """`/livez`, `/startupz`, `/readyz`, `/metrics`."""

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def startupz(_: Request) -> Response:
        return _status(live.ready, "no model version is loaded yet")

    async def readyz(_: Request) -> Response:
        if gate.leaving:
            return _status(False, "shutting down")
        return _status(live.ready, "no model version is loaded yet")

    async def scrape(_: Request) -> Response:
        metrics.admitted_tokens.set(gate.tokens)
        metrics.draining.set(gate.leaving)
        return Response(await asyncio.to_thread(metrics.render), media_type=METRICS_TYPE)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/startupz", startupz),
            Route("/readyz", readyz),
            Route("/metrics", scrape),
        ]
    )


def _status(ready: bool, reason: str) -> Response:
    return JSONResponse({"status": "ready"}) if ready else JSONResponse({"status": reason}, 503)
