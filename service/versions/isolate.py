"""Opens a version: in this process, or in an engine process of its own that replaces itself when it ends."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import Manifest
from service.bundle.tokenize import ItemTokenizer
from service.engine.batcher import Batcher, BatchObserver, Engine
from service.engine.child_process import child_command
from service.engine.isolated import IsolatedEngine
from service.engine.process import EngineProcess
from service.engine.profile import Profile
from service.settings import Settings
from service.telemetry.metrics import SHORT_DIGEST
from service.versions.tuned import ProfileRecord, TunedModel, batch_policy

_CHILD = "service.versions.engine_child"
_CHILD_SETTINGS = {"store", "cache_dir", "batching", "runtime"}
"""What an engine process is told; keys and the database's password are not among it."""


@dataclass(frozen=True, slots=True)
class OpenedVersion:
    """A version that was opened and tested, and does not score yet."""

    digest: str
    manifest: Manifest
    tokenizer: ItemTokenizer
    profile: Profile
    start: Callable[[BatchObserver], Engine]
    """Begin to score. Called once, on the event loop."""
    close: Callable[[], None]
    """Free what is open. Idempotent; after the engine was closed, where there is one."""


def opened_here(tuned: TunedModel, settings: Settings, clock: Callable[[], float]) -> OpenedVersion:
    """A version whose engine is in this process."""
    model, profile = tuned.model, tuned.profile

    def start(metrics: BatchObserver) -> Engine:
        return Batcher(
            model.score,
            batch_policy(model.manifest, profile, settings),
            workers=profile.workers,
            dedupe=settings.batching.dedupe,
            clock=clock,
            metrics=metrics,
        )

    return OpenedVersion(model.digest, model.manifest, model.tokenizer, profile, start, model.backend.close)


class EngineStart:
    """Brings an engine process of one version to where it can score, step by step; and again when it has ended."""

    def __init__(self, directory: Path, settings: Settings, profile: Profile | None) -> None:
        self._directory = directory
        self._settings = settings
        self._profile = profile

    async def open(self, process: EngineProcess) -> Profile:
        """Start the process and let it open the version; raises BundleRejected."""
        await process.start(child_command(_CHILD))
        answer = await process.command(
            "open",
            directory=str(self._directory),
            settings=self._settings.model_dump_json(include=_CHILD_SETTINGS),
            profile=ProfileRecord.of(self._profile).model_dump_json() if self._profile else None,
        )
        self._profile = ProfileRecord.model_validate_json(answer["profile"]).profile()
        return self._profile

    async def again(self, process: EngineProcess, suspects: Sequence[bytes]) -> None:
        """All steps, with the profile that was measured the first time; raises BundleRejected, TimeoutError."""
        limits = self._settings.repository
        async with asyncio.timeout(limits.load_s):
            await self.open(process)
        async with asyncio.timeout(2 * limits.warm_up_s):
            await process.command("warm_up")
            await process.command("self_test")
            await process.command("serve", suspects=[digest.hex() for digest in suspects])


def opened_apart(
    manifest: Manifest,
    digest: str,
    tokenizer: ItemTokenizer,
    profile: Profile,
    settings: Settings,
    clock: Callable[[], float],
    process: EngineProcess,
    again: EngineStart,
) -> OpenedVersion:
    """A version whose engine is in a process that stands ready to score."""

    def start(metrics: BatchObserver) -> Engine:
        engine = IsolatedEngine(
            again.again,
            batch_policy(manifest, profile, settings),
            workers=profile.workers,
            name=f"{manifest.model}@{digest[:SHORT_DIGEST]}",
            call_limit_s=settings.runtime.call_limit_s,
            clock=clock,
            metrics=metrics,
        )
        engine.begin(process)
        return engine

    return OpenedVersion(digest, manifest, tokenizer, profile, start, process.kill)
