"""The guard and the routes, spoken to in raw ASGI: clients that leave, bodies that stall, replicas that go."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service, create_app
from service.domain import Batch, Float32
from service.engine.backend import OrtBackend
from service.errors import Draining
from tests.api import settings_for, with_api

GOOD = json.dumps({"items": [{"prompt": "p", "response": "r"}]}).encode()
Message = MutableMapping[str, Any]


class Wire:
    """One raw HTTP exchange: scripted messages in, collected messages out."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        for message in messages:
            self.incoming.put_nowait(message)
        self.sent: list[Message] = []

    async def call(self, app: Callable[..., Awaitable[None]], *headers: tuple[bytes, bytes]) -> None:
        scope = {
            "type": "http", "method": "POST", "path": "/rm/v1/score", "raw_path": b"/rm/v1/score", "query_string": b"",
            "headers": [(b"content-type", b"application/json"), *headers], "http_version": "1.1", "scheme": "http",
            "server": ("test", 80), "client": ("test", 1), "root_path": "",
        }  # fmt: skip

        async def send(message: Message) -> None:
            self.sent.append(message)

        await app(scope, self.incoming.get, send)

    @property
    def status(self) -> int | None:
        return next((message["status"] for message in self.sent if message["type"] == "http.response.start"), None)


def whole(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}


def test_a_client_that_leaves_while_the_engine_runs(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its work is cancelled, its room is free at once, and what was queued for it never runs."""
    inside, gate, rows = threading.Event(), threading.Event(), []
    real = OrtBackend.run

    def held(backend: OrtBackend, batch: Batch) -> Float32:
        rows.append(len(batch.input_ids_BT))
        inside.set()
        assert gate.wait(30)
        return real(backend, batch)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        with monkeypatch.context() as slow:
            slow.setattr(OrtBackend, "run", held)
            body = json.dumps({"items": [{"prompt": "p", "response": "word " * 40 * i} for i in range(30)]}).encode()
            wire = Wire([whole(body)])
            request = asyncio.create_task(wire.call(create_app(service)))
            await asyncio.to_thread(inside.wait, 30)
            wire.incoming.put_nowait({"type": "http.disconnect"})
            await asyncio.gather(request, return_exceptions=True)
            assert (service.gate.items, service.gate.tokens) == (0, 0)
            gate.set()
        assert (
            await client.post("/rm/v1/score", content=GOOD, headers={"content-type": "application/json"})
        ).status_code == 200
        assert sum(rows) < 30
        dropped = service.metrics.registry.get_sample_value(
            "rm_dropped_total", {"model": "tiny", "reason": "abandoned"}
        )
        assert dropped == 30 - sum(rows)

    with_api(settings_for(published), story)


def test_a_client_that_leaves_in_its_body(published: Path) -> None:
    """Half a body and a closed connection: refused, nothing scored."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        wire = Wire([{"type": "http.request", "body": GOOD[:5], "more_body": True}, {"type": "http.disconnect"}])
        await wire.call(create_app(service))
        assert wire.status == 400

    with_api(settings_for(published), story)


def test_a_body_that_stalls(published: Path) -> None:
    """A body that does not arrive in time is answered 408."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        wire = Wire([{"type": "http.request", "body": GOOD[:5], "more_body": True}])
        await wire.call(create_app(service))
        assert wire.status == 408

    with_api(settings_for(published, http={"body_timeout_s": 0.05}), story)


def test_a_lying_content_length(published: Path) -> None:
    """A length over the limit is refused before the body is read; one that is not a number does not matter."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        app = create_app(service)
        liar = Wire([])
        await liar.call(app, (b"content-length", b"9" * 30))
        assert liar.status == 413
        vague = Wire([whole(GOOD)])
        await vague.call(app, (b"content-length", b"some"))
        assert vague.status == 200

    with_api(settings_for(published), story)


def test_other_protocols_pass(published: Path) -> None:
    """What is not HTTP is none of the guard's business."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "lifespan.startup" if not sent else "lifespan.shutdown"}

        async def send(message: Message) -> None:
            sent.append(message)

        await create_app(service)({"type": "lifespan", "state": {}}, receive, send)
        assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    with_api(settings_for(published), story)


def test_a_leaving_replica_closes_connections(published: Path) -> None:
    """While leaving, every reply asks to reconnect elsewhere; once closed, 503 with Retry-After."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        service.gate.leaving = True
        headers = {"content-type": "application/json"}
        reply = await client.post("/rm/v1/score", content=GOOD, headers=headers)
        assert (reply.status_code, reply.headers["connection"]) == (200, "close")
        service.gate.close()
        reply = await client.post("/rm/v1/score", content=GOOD, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, Draining.code)

    with_api(settings_for(published), story)


def test_an_unexpected_exception(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is a 500 of the one shape that tells nothing of the inside."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        monkeypatch.setattr("service.api.schemas.ScoreResponse", lambda *_: 1 / 0)
        reply = await client.post("/rm/v1/score", content=GOOD, headers={"content-type": "application/json"})
        assert reply.status_code == 500
        assert reply.json()["error"]["code"] == "internal"
        assert "division" not in reply.text

    with_api(settings_for(published), story)
