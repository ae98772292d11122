"""Blocking work that must not hold up the service: in a thread of its own, which nobody waits for at exit."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def apart(function: Callable[[], T], *, name: str, nice: int = 0) -> T:
    """Run a function in a new daemon thread. Whoever is cancelled leaves the thread to its end, and to no effect.

    Args:
        nice: how far the thread steps back for others (Linux). Threads that it starts inherit that for good, so never
            for work that opens an engine.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        if nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        try:
            result = function()
        except BaseException as caught:  # noqa: BLE001 - handed on to whoever waits
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
