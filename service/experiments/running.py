"""Experiments while the process runs: their definitions, who is sent where, and the work in the background."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.experiments.predict import Predictor
from service.experiments.registry import Registry
from service.experiments.router import Router
from service.experiments.shadow import Shadows
from service.experiments.table import DefinitionTable
from service.feedback.database import FeedbackStore


@dataclass(frozen=True, slots=True)
class Experiments:
    """The definitions, the router and the background tasks of experiments."""

    registry: Registry
    router: Router
    shadows: Shadows
    table: DefinitionTable | None
    """Where definitions go that come over the API; None without a feedback database."""
    predictor: Predictor | None
    votes: FeedbackStore | None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the definitions, then watch them and work in the background; without a source of them, do nothing.

        Raises:
            ConfigurationError: the file of definitions is wrong.
        """
        if not self.registry.configured:
            yield
            return
        await self.registry.open()
        work = [self.registry.watch(), self.shadows.run()]
        work += [self.predictor.run()] if self.predictor else []
        tasks = [asyncio.create_task(job) for job in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
