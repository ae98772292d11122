"""The whole service in this process, over ASGI: real bundle, real routes, no socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from service.app import Service, build_service, create_app, running
from service.settings import Settings, read_settings


def settings_for(store: Path, **overrides: Any) -> Settings:
    """Settings of a test: quick polling, quiet log, no child processes."""
    base: dict[str, Any] = {
        "store": store,
        "log_level": "error",
        "repository": {"poll_interval_s": 0.02, "dry_run": False},
        "runtime": {"engine": "in_process"},
    }
    if runtime := overrides.pop("runtime", None):
        base["runtime"] |= runtime
    return read_settings(base | overrides, {})


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    """A client of a running service."""
    async with running(build_service(settings)) as service:
        transport = httpx.ASGITransport(create_app(service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            yield client, service


def with_api(
    settings: Settings, story: Callable[[httpx.AsyncClient, Service], Awaitable[None]], *, timeout_s: float = 120
) -> None:
    """Run a story against a running service, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(timeout_s), open_api(settings) as (client, service):
            await story(client, service)

    asyncio.run(bounded())


def error_of(reply: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a reply, after checking that it has the one shape."""
    assert reply.status_code == status, reply.text
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "param", "request_id"}
    error: dict[str, Any] = body["error"]
    assert error["request_id"] == reply.headers["x-request-id"]
    return error
