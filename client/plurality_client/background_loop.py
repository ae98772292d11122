"""An event loop on a thread of its own, for callers that have none or a new one every time."""

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")
Closing = Callable[[], Coroutine[Any, Any, None]]


class BackgroundLoop:
    """Starts with the first work; ends with `close`, with its owner, or with the process.

    A forked child starts a loop of its own: threads do not survive a fork.
    """

    def __init__(self, closing: Closing) -> None:
        self._closing = closing
        """Awaited on the loop before it ends; must not refer to the owner of this loop."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._finalizer: Callable[[], object] = _nothing

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Run on the loop; cancelling the future cancels the work."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def close(self) -> None:
        """End the loop and its thread; the next work starts new ones."""
        with self._lock:
            finalizer, self._loop, self._finalizer = self._finalizer, None, _nothing
        finalizer()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                thread = threading.Thread(target=self._loop.run_forever, name="plurality-client", daemon=True)
                thread.start()
                self._finalizer = weakref.finalize(self, _end, self._loop, thread, self._closing)
            return self._loop


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, closing: Closing) -> None:
    if not thread.is_alive() or thread is threading.current_thread():
        return  # a forked child has the loop but not its thread
    asyncio.run_coroutine_threadsafe(_wind_up(closing), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def _wind_up(closing: Closing) -> None:
    """Cancel what still runs, then close."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await closing()


def _nothing() -> None:
    pass
