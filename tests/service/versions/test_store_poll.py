"""Notices shorten the wait; without them the period is enough."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

from structlog.testing import capture_logs

from service.versions.store_poll import looks
from tests.stamped import publish_stamped


def test_a_written_pointer_is_noticed(tmp_path: Path) -> None:
    """Long before the period is over; other files are none of our business."""

    async def story() -> None:
        async with asyncio.timeout(60), aclosing(looks(tmp_path, period_s=3600)) as times:
            due = asyncio.ensure_future(anext(times))
            k = 0
            while not due.done():  # the watch may not be up at the first
                k += 1
                (tmp_path / f"{k}.json").write_text("{}")
                await asyncio.to_thread(publish_stamped, tmp_path, k)
            await due

    asyncio.run(story())


def test_without_notices(tmp_path: Path) -> None:
    """A watch that fails, or ends, is named once; the period goes on."""

    async def broken(_: Path) -> AsyncIterator[object]:
        yield "the first"
        raise OSError("no more watches")

    async def ended(_: Path) -> AsyncIterator[object]:
        yield "the only one"

    async def story() -> None:
        for watch in (broken, ended):
            async with asyncio.timeout(60), aclosing(looks(tmp_path, period_s=0.01, watch=watch)) as times:
                for _ in range(5):
                    await anext(times)

    with capture_logs() as logs:
        asyncio.run(story())
    assert [entry["event"] for entry in logs] == ["store_notices_unavailable"] * 2
    assert "no more watches" in logs[0]["cause"]
