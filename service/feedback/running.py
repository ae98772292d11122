"""Feedback while the process runs: the store, what remembers pairs for it, and their threads. None without a URL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from service.errors import FeedbackDisabled, FeedbackUnavailable
from service.feedback.connect import POOL
from service.feedback.database import FeedbackStore
from service.feedback.recorder import Recorder
from service.telemetry.logs import get_logger

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FeedbackBackend:
    """Where votes go."""

    store: FeedbackStore
    recorder: Recorder
    threads: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, POOL, thread_name_prefix="votes"))
    """Of its own: however slow the database is, it takes no thread from scoring or loading."""

    async def call(self, work: Callable[..., Result], *given: object) -> Result:
        """Run what blocks in one of its threads."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(work, *given))


@dataclass(frozen=True, slots=True)
class Feedback:
    """One for a process."""

    kept: FeedbackBackend | None
    remember: bool

    def require(self) -> FeedbackBackend:
        """The store and the recorder.

        Raises:
            FeedbackDisabled: no database is configured.
        """
        if self.kept is None:
            raise FeedbackDisabled("feedback is off: name a database with feedback.url")
        return self.kept

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the store; at the end write what waits, and close it.

        A database that does not answer now may do so later, and the service scores without it.

        Raises:
            ConfigurationError: the database will never do.
        """
        if self.kept is None:
            yield
            return
        try:
            await self.kept.call(self.kept.store.open)
        except FeedbackUnavailable:
            get_logger(__name__).error("feedback_unavailable_at_start")
        if self.remember:
            self.kept.recorder.start()
        try:
            yield
        finally:
            await self.kept.call(self.kept.recorder.close)
            await self.kept.call(self.kept.store.close)
            self.kept.threads.shutdown(wait=False)
