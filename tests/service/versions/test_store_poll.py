"""Notices shorten the wait; without them the period is enough."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import watchfiles
from structlog.testing import capture_logs

from service.bundle.pointer import POINTER_NAME
from service.versions.store_poll import pointer_changes, poll_ticks
from tests.stamped import publish_stamped


def test_a_written_pointer_is_noticed(tmp_path: Path) -> None:
    """Long before the period is over."""

    async def story() -> None:
        async with asyncio.timeout(60), aclosing(poll_ticks(tmp_path, period_s=3600)) as times:
            due = asyncio.ensure_future(anext(times))
            k = 0
            while not due.done():  # the watch may not be up at the first
                k += 1
                await asyncio.to_thread(publish_stamped, tmp_path, k)
            await due

    asyncio.run(story())


def test_other_files_are_not_noticed(tmp_path: Path) -> None:
    """Each notice names pointers alone, though other files were written before, beside and after them."""

    async def story() -> list[set[tuple[watchfiles.Change, str]]]:
        found: list[set[tuple[watchfiles.Change, str]]] = []
        async with asyncio.timeout(60), aclosing(pointer_changes(tmp_path)) as changes:
            while len(found) < 3:
                due = asyncio.ensure_future(anext(changes))
                while not due.done():  # the watch may not be up at the first
                    for name in ("a.json", POINTER_NAME, "z.json"):
                        await asyncio.to_thread((tmp_path / name).write_text, "{}")
                found.append(await due)
        return found

    for changes in asyncio.run(story()):
        assert {Path(path).name for _, path in changes} == {POINTER_NAME}


def test_without_notices(tmp_path: Path) -> None:
    """A watch that fails, or ends, is named once; the period goes on."""

    async def broken(_: Path) -> AsyncIterator[object]:
        yield "the first"
        raise OSError("no more watches")

    async def ended(_: Path) -> AsyncIterator[object]:
        yield "the only one"

    async def story() -> None:
        for notices in (broken, ended):
            async with asyncio.timeout(60), aclosing(poll_ticks(tmp_path, period_s=0.01, notices=notices)) as times:
                for _ in range(5):
                    await anext(times)

    with capture_logs() as logs:
        asyncio.run(story())
    assert [entry["event"] for entry in logs] == ["store_notices_unavailable"] * 2
    assert "no more watches" in logs[0]["cause"]
