"""A full service: who is refused, who waits, chosen by dialect, route and key; and which status a refusal has."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from service.domain import Batch, Float32
from service.engine.backend import OrtBackend
from tests.api import settings_for, with_api

NATIVE = {"items": [{"prompt": "p", "response": "r"}]}
OPENRLHF = {"query": ["p r"], "prompts": ["p"]}
WAITS = {"instances": [{"prompt": "p", "response": "other"}]}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Holds every engine call until it is set."""
    gate, real = threading.Event(), OrtBackend.run

    def held(backend: OrtBackend, batch: Batch) -> Float32:
        gate.wait(30)
        return real(backend, batch)

    monkeypatch.setattr(OrtBackend, "run", held)
    gate.set()  # loading runs the engine too
    return gate


def full(
    published: Path,
    engine: threading.Event,
    overload: dict[str, Any],
    story: Callable[[httpx.AsyncClient, Service], Awaitable[None]],
) -> None:
    """Run a story in a service that has room for one item, which is taken."""

    async def crowded(client: httpx.AsyncClient, service: Service) -> None:
        engine.clear()
        first = asyncio.create_task(client.post("/rm/v1/score", json=NATIVE))
        await until(lambda: service.gate.items == 1)
        try:
            await story(client, service)
        finally:
            engine.set()
            assert (await first).status_code == 200
        await until(lambda: service.gate.items == 0)

    limits = {"max_queue_items": 1}
    with_api(settings_for(published, limits=limits, overload=overload), crowded)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the gate offers no event, and is not slowed by one here
            await asyncio.sleep(0)


async def waits(
    client: httpx.AsyncClient, service: Service, engine: threading.Event, path: str, body: Any, **headers: str
) -> None:
    """The request is not answered while the service is full, and is answered when it is not."""
    task = asyncio.create_task(client.post(path, json=body, headers=headers))
    await until(lambda: service.gate.waiting == 1)
    assert not task.done()
    engine.set()
    reply = await task
    assert reply.status_code == 200, reply.text


def test_refused_by_default(published: Path, engine: threading.Event) -> None:
    """503 and Retry-After, in the peer's own shape."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for path, body, shape in (
            ("/get_reward", OPENRLHF, {"detail"}),
            ("/classify", {"input": "t"}, {"error", "request_id"}),
            ("/predict", {"inputs": "t"}, {"error", "error_type"}),
            (
                "/v2/models/tiny/infer",
                {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["t"]}]},
                {"error"},
            ),
        ):
            reply = await client.post(path, json=body)
            assert (reply.status_code, set(reply.json())) == (503, shape)
            assert int(reply.headers["retry-after"]) >= 1

    full(published, engine, {}, story)


def test_llamafactory_waits(published_chat: Path, engine: threading.Event) -> None:
    """Its client would end the run on a refusal."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await waits(client, service, engine, "/v1/score/evaluation", {"model": "model", "messages": ["a text"]})

    full(published_chat, engine, {}, story)


def test_a_route_waits(published: Path, engine: threading.Event) -> None:
    """Chosen by path; other paths are still refused."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert (await client.post("/predict", json={"inputs": "t"})).status_code == 503
        await waits(client, service, engine, "/get_reward", OPENRLHF)

    full(published, engine, {"routes": {"/get_reward": "block"}}, story)


def test_a_key_waits(published: Path, engine: threading.Event) -> None:
    """Chosen by bearer token, over the route's choice; native routes too."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert (await client.post("/rm/v1/score", json=NATIVE)).status_code == 503
        other = {"authorization": "Bearer other"}
        assert (await client.post("/rm/v1/score", json=NATIVE, headers=other)).status_code == 503
        await waits(client, service, engine, "/rm/v1/score", NATIVE, authorization="Bearer patient")

    overload = {"keys": {"patient": "block"}, "routes": {"/rm/v1/score": "refuse"}}
    full(published, engine, overload, story)


def test_waiting_ends_at_the_deadline(published: Path, engine: threading.Event) -> None:
    """Whoever waited in vain is refused with Retry-After, and takes no room."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.post("/predict", json=WAITS, headers={"x-request-timeout-ms": "20"})
        assert reply.status_code == 503
        assert "deadline" in reply.json()["error"]
        assert service.gate.waiting == 0

    full(published, engine, {"on_overload": "block"}, story)


def test_the_status_of_a_refusal(published: Path, engine: threading.Event) -> None:
    """429 for clients that want it."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.post("/get_reward", json=OPENRLHF)
        assert reply.status_code == 429
        assert "retry-after" in reply.headers

    full(published, engine, {"status": 429}, story)


def test_client_disconnects_while_queued(published: Path, engine: threading.Event) -> None:
    """A client that goes away leaves the line."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        task = asyncio.create_task(client.post("/rm/v1/score", json=NATIVE))
        await until(lambda: service.gate.waiting == 1)
        task.cancel()
        await until(lambda: service.gate.waiting == 0)

    full(published, engine, {"on_overload": "block"}, story)
