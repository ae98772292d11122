"""A lean HTTP load generator: prepared bytes over kept connections, closed or open loop. Takes ~50 µs a request.

It shares the cores with the server that it measures, so it does nothing but send, parse and take the time; its own
CPU time is part of the result. `httpx` would take ten times as much.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, slots=True)
class Reply:
    """One answered request."""

    status: int
    seconds: float
    """From the moment it was due (open loop) or sent (closed loop) to the last byte of the answer."""
    items: int
    done: float
    """On `time.perf_counter`."""


@dataclass(slots=True)
class Outcome:
    """What a phase of load saw."""

    replies: list[Reply] = field(default_factory=list)
    started: float = 0.0
    """On `time.perf_counter`."""
    wall_s: float = 0.0
    driver_cpu_s: float = 0.0
    broken: int = 0
    """Connections that ended before their answer."""

    @property
    def ok(self) -> list[Reply]:
        """The replies with status 200."""
        return [reply for reply in self.replies if reply.status == 200]

    @property
    def items_per_s(self) -> float:
        """Items answered with 200, per second of wall time."""
        return sum(reply.items for reply in self.ok) / self.wall_s


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send, and how many items they ask for."""

    data: bytes
    items: int


def prepare(url: str, body: bytes, items: int, headers: Sequence[tuple[str, str]] = ()) -> Request:
    """A whole HTTP/1.1 request as bytes."""
    parts = urlsplit(url)
    lines = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return Request("\r\n".join(lines).encode() + b"\r\n\r\n" + body, items)


class _Connection(asyncio.Protocol):
    """One kept connection, one request at a time."""

    def __init__(self, on_reply: Callable[["_Connection", int], None]) -> None:
        self._on_reply = on_reply
        self._parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.closing = False
        self.due = 0.0
        self.items = 0
        self.last_body = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the base class

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.items:
            self._on_reply(self, 0)

    def on_body(self, body: bytes) -> None:
        """httptools' callback."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """httptools' callback."""
        status = self._parser.get_status_code()
        self.closing = not self._parser.should_keep_alive()
        self.last_body, self._body = b"".join(self._body), []
        self._parser = httptools.HttpResponseParser(self)
        self._on_reply(self, status)

    def send(self, request: Request, due: float) -> None:
        """Write the request; `due` is when its time starts."""
        self.due, self.items = due, request.items
        assert self.transport is not None  # noqa: S101 - callers hold open connections only
        self.transport.write(request.data)


class _Phase:
    """Counts replies and hands connections back."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.outcome = Outcome()
        self.free: asyncio.Queue[_Connection] = asyncio.Queue()
        self._all: list[_Connection] = []
        self.busy = 0

    async def open(self) -> _Connection:
        """A new connection."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._replied), *self._address
        )
        self._all.append(connection)
        return connection

    def send(self, connection: _Connection, request: Request, due: float) -> None:
        """Send on a free connection."""
        self.busy += 1
        connection.send(request, due)

    def _replied(self, connection: _Connection, status: int) -> None:
        self.busy -= 1
        now = time.perf_counter()
        if status:
            self.outcome.replies.append(Reply(status, now - connection.due, connection.items, now))
        else:
            self.outcome.broken += 1
        connection.items = 0
        self.free.put_nowait(connection)

    async def usable(self, connection: _Connection) -> _Connection:
        """The connection itself, or a new one if the server closed it."""
        if connection.transport is None or connection.closing or connection.transport.is_closing():
            if connection.transport:
                connection.transport.close()
            return await self.open()
        return connection

    def abandon(self) -> None:
        """Stop without waiting; requests under way are not counted."""
        for connection in self._all:
            connection.items = 0

    def close(self) -> None:
        """Close every connection."""
        for connection in self._all:
            if connection.transport:
                connection.transport.close()


async def closed_loop(
    url: str, requests: Sequence[Request], *, concurrency: int, total: int | None = None, seconds: float | None = None
) -> Outcome:
    """`concurrency` clients, each asks again as soon as it is answered.

    Args:
        total: requests in all: the wall time runs to the last answer.
        seconds: or for how long: answers that come later are not counted, nor waited for.
    """
    phase = _Phase(url)
    for _ in range(concurrency):
        phase.free.put_nowait(await phase.open())
    started, cpu = time.perf_counter(), time.process_time()
    phase.outcome.started = started
    stop = started + seconds if seconds else None
    try:
        async with asyncio.timeout(seconds):
            await _ask(phase, requests, total)
            while phase.busy:
                await phase.free.get()
    except TimeoutError:
        phase.abandon()
    ended = stop or time.perf_counter()
    phase.outcome.wall_s, phase.outcome.driver_cpu_s = ended - started, time.process_time() - cpu
    phase.close()
    return phase.outcome


async def _ask(phase: _Phase, requests: Sequence[Request], total: int | None) -> None:
    for number in itertools.count() if total is None else range(total):
        connection = await phase.usable(await phase.free.get())
        phase.send(connection, requests[number % len(requests)], time.perf_counter())


async def open_loop(url: str, requests: Sequence[Request], *, per_s: float, seconds: float, seed: int = 0) -> Outcome:
    """Poisson arrivals at `per_s` requests a second whatever the server does; time counts from when each was due."""
    phase = _Phase(url)
    random_times = random.Random(seed)
    started, cpu = time.perf_counter(), time.process_time()
    phase.outcome.started = started
    due, number = started, 0
    while (due := due + random_times.expovariate(per_s)) < started + seconds:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        connection = await phase.usable(phase.free.get_nowait()) if not phase.free.empty() else await phase.open()
        phase.send(connection, requests[number % len(requests)], due)
        number += 1
    phase.outcome.wall_s = time.perf_counter() - started
    while phase.busy:
        await phase.free.get()
    phase.outcome.driver_cpu_s = time.process_time() - cpu
    phase.close()
    return phase.outcome
