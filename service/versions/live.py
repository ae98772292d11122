"""Polls the store and follows its pointers; the interface to versions for the rest of the service.

`residents.py` loads, swaps and closes versions by the decisions of `lifecycle.py`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

from service.bundle.manifest import made_at
from service.bundle.pointer import DEFAULT_ALIAS, read_pointer
from service.bundle.store import model_names
from service.errors import BundleRejected
from service.settings import Settings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import Metrics
from service.versions.resident import Observe, Snapshot
from service.versions.residents import Residents
from service.versions.states import Rejection, VersionStatus
from service.versions.store_poll import poll_ticks


class Live:
    """The loaded versions, kept to what the store names. Reads the store, never writes it."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        observe: Observe,
        upstream: Callable[[], str | None] | None = None,
    ) -> None:
        """Args: upstream: the error of the remote store that this one is a copy of, None if it answers."""
        self._settings = settings
        self._upstream = upstream
        self._metrics = metrics
        self._log = get_logger(__name__)
        self._residents = Residents(settings, metrics, clock, observe)
        self.pin = self._residents.served.pin
        """Keeps one version for the whole of a request."""
        self._polling = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._store_up: bool | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._residents.served.snapshot

    @property
    def statuses(self) -> tuple[VersionStatus, ...]:
        """Every known version with its state."""
        return tuple(self._residents.registry)

    @property
    def ready(self) -> bool:
        """Whether any version that an alias names can score now."""
        return any(version.engine.up for names in self.snapshot.aliases.values() for version in names.values())

    async def open(self) -> None:
        """Load the versions that the store names now, then keep polling it."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch(), name="store-watcher")

    async def aclose(self, *, timeout_s: float) -> None:
        """Stop polling and loading, finish queued items within `timeout_s`, free every engine. Idempotent."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._residents.aclose(timeout_s=timeout_s)

    def knows(self, selector: str) -> bool:
        """Whether a selector names one of the served models, in any version."""
        return self.snapshot.knows(selector)

    async def refresh(self) -> None:
        """Poll the store, and wait until every version that it names is loaded or refused."""
        await self.poll_store()
        await self._residents.loaded()

    async def poll_store(self) -> None:
        """Poll the store once: move aliases to versions that are loaded, and start to load the others."""
        async with self._polling:
            try:
                names = await asyncio.to_thread(model_names, self._settings.store)
            except OSError as error:
                self._note_store(up=False, detail=error.strerror or "unreadable")
                return
            problem = self._upstream() if self._upstream else None
            self._note_store(up=problem is None, detail=problem or "")
            self._metrics.store_last_poll.set(time.time())
            # What is loaded serves on though its folder is gone: a mount that comes loose looks like an empty store.
            for name in sorted({*names, *self._residents.lifecycle.aliases}):
                await self._follow(name)
            self._residents.publish()
            self._note_ages()
        self._residents.start_loading()

    async def _watch(self) -> None:
        period_s = self._settings.repository.poll_interval_s
        async with contextlib.aclosing(poll_ticks(self._settings.store, period_s=period_s)) as times:
            async for _ in times:
                try:
                    await self.poll_store()
                except Exception as error:  # noqa: BLE001 - watching goes on, what is loaded serves
                    self._log.error("store_watch_failed", error=repr(error))

    async def _follow(self, model: str) -> None:
        unreadable = self._residents.unreadable
        try:
            pointer = await asyncio.to_thread(read_pointer, self._settings.store / model)
        except BundleRejected as error:
            unreadable[model] = Rejection(model, None, error.reason, error.message)
            self._residents.report_rejection(unreadable[model])
            return
        unreadable.pop(model, None)
        self._metrics.store_generation.labels(model).set(pointer.generation)
        self._residents.lifecycle.apply_pointer(model, pointer)

    def _note_store(self, *, up: bool, detail: str) -> None:
        if up != self._store_up:
            self._log.log(20 if up else 40, "store_up" if up else "store_unreadable", detail=detail)
        self._store_up = up
        self._metrics.store_up.set(up)

    def _note_ages(self) -> None:
        for model, aliases in self.snapshot.aliases.items():
            if version := aliases.get(DEFAULT_ALIAS):
                made = made_at(version.manifest.created)
                if made is not None:  # a manifest may say anything there
                    self._metrics.model_age.labels(model).set(time.time() - made)
