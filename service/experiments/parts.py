"""The parts of experiments that live as long as the process: wired here, started and ended by the composition root."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from plurality.core.errors import ConfigurationError
from service.admission import Gate
from service.experiments.assign import PUBLIC_KEY, derive_key
from service.experiments.predict import Predictor
from service.experiments.registry import Registry
from service.experiments.router import Router
from service.experiments.shadow import Shadows
from service.experiments.table import DefinitionTable
from service.feedback.connect import Database
from service.feedback.database import FeedbackStore
from service.feedback.parts import FeedbackParts
from service.scoring import Scorer
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.versions.live import Live

_MIN_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class ExperimentParts:
    """Definitions, who is sent where, and who works in the background."""

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
            if self.table:
                await asyncio.to_thread(self.table.close)


def build_experiments(
    settings: Settings,
    live: Live,
    gate: Gate,
    scorer: Scorer,
    feedback: FeedbackParts,
    metrics: Metrics,
    clock: Callable[[], float],
) -> ExperimentParts:
    """Wire the parts; nothing is read or running yet.

    Raises:
        ConfigurationError: the file of the assignment's secret cannot be used.
    """
    chosen, instruments = settings.experiments, metrics.experiments
    url, votes = settings.feedback.url, feedback.kept.store if feedback.kept else None
    table = DefinitionTable(Database(url.get_secret_value())) if url else None
    registry = Registry(chosen.file, table, instruments, poll_interval_s=chosen.poll_interval_s)
    shadows = Shadows(
        live, scorer, gate, instruments, max_items=chosen.shadow_items, max_load=chosen.background_load, clock=clock
    )
    key = read_key(chosen.key_file) if chosen.key_file else PUBLIC_KEY
    default = settings.default_model
    router = Router(registry, scorer, live, shadows, instruments, key=key, default_model=default, clock=clock)
    predictor = None
    if votes is not None:
        predictor = Predictor(
            registry, live, scorer, gate, votes, instruments,
            max_load=chosen.background_load, max_items=settings.limits.max_items_per_request,
            interval_s=chosen.poll_interval_s, clock=clock,
        )  # fmt: skip
    return ExperimentParts(registry, router, shadows, table, predictor, votes)


def read_key(path: Path) -> bytes:
    """The assignment's key from a file with a secret.

    Raises:
        ConfigurationError: unreadable, or a secret that could be guessed.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise _wrong(path, error.strerror or "cannot be read") from None
    if len(secret) < _MIN_SECRET_BYTES:
        raise _wrong(path, f"holds less than {_MIN_SECRET_BYTES} bytes: `openssl rand -hex 32` makes a secret")
    return derive_key(secret)


def _wrong(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(f"experiments.key_file: {path.name}: {what}", param="experiments.key_file")
