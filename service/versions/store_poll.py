"""Says when to poll the store: every few seconds, and at once when the file system reports a written pointer.

The period is what counts: notices are lost on network and shared volumes, and a watch dies with the folder that it is
on. A notice only shortens the wait.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import watchfiles

from service.bundle.pointer import POINTER_NAME
from service.telemetry.logs import get_logger

_STEP_MS = 50
Notices = Callable[[Path], AsyncIterator[Any]]


def pointer_changes(store: Path) -> AsyncGenerator[set[tuple[watchfiles.Change, str]]]:
    """Yield once whenever pointers below the store were written; changes of other files are ignored."""
    return watchfiles.awatch(
        store, watch_filter=lambda _, path: Path(path).name == POINTER_NAME, debounce=_STEP_MS * 4, step=_STEP_MS
    )


async def poll_ticks(store: Path, *, period_s: float, notices: Notices = pointer_changes) -> AsyncGenerator[None]:
    """Yield when it is time to poll. Ends only by being closed."""
    noticed = asyncio.Event()
    task = asyncio.create_task(_notice(store, noticed, notices), name="store-notices")
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period_s):
                    await noticed.wait()
            noticed.clear()
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _notice(store: Path, noticed: asyncio.Event, notices: Notices) -> None:
    """Set the event at each notice; if there can be no notices, log that once and leave it to the period."""
    try:
        async for _ in notices(store):
            noticed.set()
        cause = "it ended"
    except Exception as error:  # noqa: BLE001 - whatever the watcher of an odd file system raises: polling goes on
        cause = repr(error)
    get_logger(__name__).warning("store_notices_unavailable", cause=cause, effect="polling goes on")
