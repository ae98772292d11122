"""Versions whose engines are scripted, behind a real Scorer: real bundles, batchers, gate and tokenizers."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from service.admission import Gate
from service.domain import Batch, Float32, ScoreItem, ScoreQuery
from service.drift.monitor import Watch
from service.engine.policy import Cell
from service.engine.profile import Profile
from service.errors import UnknownModel
from service.experiments.assign import PUBLIC_KEY
from service.experiments.definition import Experiment, parse_experiment
from service.experiments.registry import Registry
from service.experiments.router import Asked, Router, Served
from service.experiments.shadow import Shadows
from service.scoring import Scorer
from service.settings import Settings
from service.settings.groups import RollbackSettings
from service.telemetry.metrics import Metrics
from service.versions.health import Health
from service.versions.isolate import opened_here
from service.versions.live import Live
from service.versions.resident import ResidentVersion
from service.versions.tuned import TunedModel
from tests.api import settings_for
from tests.fakes import ScriptedBackend, loaded

MODEL = "fake"


class Times(ScriptedBackend):
    """Its rewards are the usual ones times a factor: -1 orders all pairs the other way round, NaN is broken."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def run(self, batch: Batch) -> Float32:
        return cast("Float32", super().run(batch) * self.factor)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    aliases: Mapping[str, Mapping[str, ResidentVersion]]


class Shelf:
    """What `Live` promises experiments: pin a selector; the aliases that are resident."""

    def __init__(self, bundles: Mapping[str, ResidentVersion]) -> None:
        self.bundles = dict(bundles)

    @property
    def snapshot(self) -> _Snapshot:
        return _Snapshot({MODEL: self.bundles})

    @contextmanager
    def pin(self, selector: str | None) -> Iterator[ResidentVersion]:
        which = (selector or MODEL).partition("@")[2] or "stable"
        found = [b for alias, b in self.bundles.items() if alias == which or b.digest.startswith(which)]
        if not found:
            raise UnknownModel("no such version")
        found[0].acquire()
        try:
            yield found[0]
        finally:
            found[0].release()


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a story needs."""

    router: Router
    shadows: Shadows
    shelf: Shelf
    scorer: Scorer
    gate: Gate
    metrics: Metrics
    engines: Mapping[str, ScriptedBackend]

    def count(self, name: str, **labels: str) -> float:
        """A metric's value; 0 before it was ever touched."""
        return self.metrics.registry.get_sample_value(f"rm_{name}", labels) or 0.0

    async def ask(self, *items: ScoreItem, model: str | None = MODEL, timeout_s: float = 20, **asked: str) -> Served:
        deadline = asyncio.get_running_loop().time() + timeout_s
        return await self.router.score(ScoreQuery(items, model, deadline), Asked(**asked))


def experiment(**changes: Any) -> Experiment:
    """Half to `stable`, half to `candidate`."""
    raw: dict[str, Any] = {
        "name": "tone",
        "model": MODEL,
        "control": "current",
        "arms": [arm("current", "stable", weight=1), arm("new", "candidate", weight=1)],
    }
    return parse_experiment(raw | changes)


def arm(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, **more}


def shadowed(version: str = "candidate") -> Experiment:
    """All answered by `stable`, in the shadow of another."""
    arms = [arm("current", "stable", weight=1), arm("idle", "stable"), arm("quiet", version, shadow=True)]
    return experiment(arms=arms)


@asynccontextmanager
async def stage(
    definition: Experiment,
    engines: Mapping[str, ScriptedBackend],
    tmp_path: Path,
    *,
    call_s: float = 1e-6,
    **overrides: Any,
) -> AsyncIterator[Stage]:
    """A router over scripted versions, by alias; shadows run.

    Args:
        call_s: what an engine call is predicted to take. With 10, whoever has to queue is predicted to be late,
            however fast the machine is.
    """
    settings = settings_for(tmp_path, **overrides)
    clock = asyncio.get_running_loop().time
    metrics = Metrics(version="test")
    threads = ThreadPoolExecutor(2)
    watch = Watch(settings.watch, clock, metrics.registry)
    shelf = Shelf(
        {alias: _bundle(alias, engine, settings, threads, metrics, watch, call_s) for alias, engine in engines.items()}
    )
    gate = Gate(max_items=settings.limits.max_queue_items, max_tokens=settings.limits.max_queue_tokens, clock=clock)
    live = cast("Live", shelf)
    scorer = Scorer(live, gate, settings.limits, clock)
    chosen = settings.experiments
    registry = Registry(write_file(tmp_path, definition), None, metrics.experiments, poll_interval_s=60)
    await registry.open()
    shadows = Shadows(
        live,
        scorer,
        gate,
        metrics.experiments,
        max_items=chosen.shadow_items,
        max_load=chosen.background_load,
        clock=clock,
    )
    router = Router(
        registry, scorer, live, shadows, metrics.experiments, key=PUBLIC_KEY, default_model=None, clock=clock
    )
    work = asyncio.create_task(shadows.run())
    try:
        yield Stage(router, shadows, shelf, scorer, gate, metrics, engines)
    finally:
        for engine in engines.values():
            engine.gate.set()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        for bundle in shelf.bundles.values():
            await bundle.aclose(timeout_s=5)
        threads.shutdown()


def _bundle(
    alias: str,
    engine: ScriptedBackend,
    settings: Settings,
    threads: ThreadPoolExecutor,
    metrics: Metrics,
    watch: Watch,
    call_s: float,
) -> ResidentVersion:
    cells = tuple(Cell(items, tokens, call_s) for items in (1, 8) for tokens in (1, 64))
    digest = (alias.encode().hex() * 64)[:64]
    tuned = TunedModel(replace(loaded(engine), digest=digest), Profile(1, 1, cells))
    clock = asyncio.get_running_loop().time
    health = Health(RollbackSettings(), clock, lambda _: None)
    return ResidentVersion(
        opened_here(tuned, settings, clock),
        settings,
        tokenize_threads=threads,
        clock=clock,
        metrics=metrics,
        health=health,
        observe=watch.observe,
    )


def write_file(folder: Path, definition: Experiment) -> Path:
    """A file with this one definition."""
    path = folder / "experiments.yaml"
    path.write_text(f'{{"experiments": [{definition.model_dump_json()}]}}', encoding="utf-8")
    return path
