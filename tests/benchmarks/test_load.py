"""The load generator against a real server on loopback: what it counts, and what it does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from benchmarks.load import Outcome, closed_loop, open_loop, prepare

Answer = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Reads whole requests and lets `answer` write; requests are numbered from 0."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                number, count = count, count + 1
                await answer(number, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


def load(answer: Answer, run: Callable[[str], Awaitable[Outcome]]) -> Outcome:
    async def story() -> Outcome:
        async with server(answer) as url, asyncio.timeout(30):
            return await run(url)

    return asyncio.run(story())


async def always(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def test_a_fixed_amount_of_work_is_all_answered() -> None:
    """Every request is sent once and answered; items are those of the requests."""

    async def run(url: str) -> Outcome:
        requests = [prepare(f"{url}/x", b"{}", items) for items in (1, 2, 3)]
        return await closed_loop(url, requests, concurrency=4, total=30)

    found = load(always, run)
    assert (len(found.ok), sum(reply.items for reply in found.ok), found.broken) == (30, 60, 0)
    assert all(reply.seconds > 0 for reply in found.ok)


def test_refusals_and_broken_connections_are_counted_apart() -> None:
    """A 503 that closes its connection is a reply, and the client connects again; a cut connection is none."""

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        if number % 3 == 1:
            writer.write(BUSY)
            await writer.drain()
            writer.close()
        elif number % 3 == 2:
            writer.close()
        else:
            writer.write(OK)

    async def run(url: str) -> Outcome:
        return await closed_loop(url, [prepare(f"{url}/x", b"{}", 1)], concurrency=1, total=30)

    found = load(answer, run)
    assert (len(found.ok), len(found.replies), found.broken) == (10, 20, 10)


def test_what_is_late_is_not_counted() -> None:
    """Within a fixed time only what was answered counts; what still waits is neither a reply nor broken."""

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        if number < 5:
            writer.write(OK)
        else:
            await asyncio.Event().wait()

    async def run(url: str) -> Outcome:
        return await closed_loop(url, [prepare(f"{url}/x", b"{}", 1)], concurrency=2, seconds=1.0)

    found = load(answer, run)
    assert (len(found.ok), found.broken) == (5, 0)


def test_an_open_loop_does_not_wait_for_answers() -> None:
    """Arrivals follow the clock: with a server that answers only once ten are in, all ten are sent and answered."""
    held: list[asyncio.StreamWriter] = []

    async def answer(number: int, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        if number >= 9:
            for waiting in held:
                waiting.write(OK)
            held.clear()

    async def run(url: str) -> Outcome:
        return await open_loop(url, [prepare(f"{url}/x", b"{}", 1)], per_s=1000, seconds=0.5)

    found = load(answer, run)
    assert len(found.ok) >= 10
    assert found.broken == 0
