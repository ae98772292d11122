"""Runs blocking work in a daemon thread of its own, so that neither the event loop nor the exit waits for it."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def run_in_daemon_thread(function: Callable[[], T], *, name: str, nice: int = 0) -> T:
    """Run a function in a new daemon thread; on cancellation the thread keeps running and its result is discarded.

    Not asyncio's or anyio's worker threads: those are reused, and would keep the priority; and a hung engine in one of
    them would block the exit of the process.

    Args:
        nice: how much lower the thread's priority is (Linux). Threads that it starts inherit that for good, so never
            for work that opens an engine.
    """
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on a cancelled caller cannot cancel it under the thread

    def run() -> None:
        if nice:
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), nice)
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)
