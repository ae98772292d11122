"""The versions that are served now: watch the store, follow its pointers, pin one version for each request.

The poll is the truth; `residents.py` loads, swaps and closes, by the decisions of `lifecycle.py`.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.bundle.manifest import made_at
from service.bundle.pointer import DEFAULT_ALIAS, read_pointer
from service.bundle.store import model_names
from service.errors import BundleRejected
from service.settings import Settings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import Metrics
from service.versions.resident import ModelBundle, Observe
from service.versions.residents import Residents
from service.versions.snapshot import Rejection, Snapshot
from service.versions.states import VersionStatus
from service.versions.store_poll import looks


class Live:
    """What the rest of the service knows of versions. Reads the store, never writes it."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        observe: Observe,
        upstream: Callable[[], str | None] | None = None,
    ) -> None:
        """`upstream` says what is wrong with the place that the store is a copy of; None: nothing."""
        self._settings = settings
        self._upstream = upstream
        self._metrics = metrics
        self._log = get_logger(__name__)
        self._residents = Residents(settings, metrics, clock, observe)
        self._looking = asyncio.Lock()
        self._watcher: asyncio.Task[None] | None = None
        self._store_up: bool | None = None

    @property
    def snapshot(self) -> Snapshot:
        return self._residents.snapshot

    @property
    def statuses(self) -> tuple[VersionStatus, ...]:
        """Every version that is known, with its state."""
        return tuple(self._residents.book)

    @property
    def ready(self) -> bool:
        """Whether any version can score."""
        return bool(self.snapshot.aliases)

    async def open(self) -> None:
        """Load what the store names now, then keep watching it."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch(), name="store-watcher")

    async def aclose(self, *, timeout_s: float) -> None:
        """Stop watching and loading, finish what is queued within `timeout_s`, free every engine. Idempotent."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await self._residents.aclose(timeout_s=timeout_s)

    @contextmanager
    def pin(self, selector: str | None) -> Iterator[ModelBundle]:
        """Hold one version for the whole of a request, whatever the pointer does meanwhile.

        Raises:
            UnknownModel: no such model, alias or loaded version.
            NotReady: nothing is loaded yet.
        """
        bundle = self.snapshot.select(selector, default_model=self._settings.default_model)
        bundle.acquire()
        try:
            yield bundle
        finally:
            bundle.release()

    def knows(self, selector: str) -> bool:
        """Whether a selector names a model of ours, whatever version of it."""
        return self.snapshot.knows(selector)

    async def refresh(self) -> None:
        """Look at the store, and wait until what it names is loaded or refused."""
        await self.look()
        await self._residents.loaded()

    async def look(self) -> None:
        """Look at the store once: follow the pointers with what is loaded, and have the rest loaded."""
        async with self._looking:
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
        async with contextlib.aclosing(looks(self._settings.store, period_s=period_s)) as times:
            async for _ in times:
                try:
                    await self.look()
                except Exception as error:  # noqa: BLE001 - watching goes on, what is loaded serves
                    self._log.error("store_watch_failed", error=repr(error))

    async def _follow(self, model: str) -> None:
        unreadable = self._residents.unreadable
        try:
            pointer = await asyncio.to_thread(read_pointer, self._settings.store / model)
        except BundleRejected as error:
            unreadable[model] = Rejection(model, None, error.reason, error.message)
            self._residents.tell(unreadable[model])
            return
        unreadable.pop(model, None)
        self._metrics.store_generation.labels(model).set(pointer.generation)
        self._residents.lifecycle.point(model, pointer)

    def _note_store(self, *, up: bool, detail: str) -> None:
        if up != self._store_up:
            self._log.log(20 if up else 40, "store_up" if up else "store_unreadable", detail=detail)
        self._store_up = up
        self._metrics.store_up.set(up)

    def _note_ages(self) -> None:
        for model, aliases in self.snapshot.aliases.items():
            if bundle := aliases.get(DEFAULT_ALIAS):
                made = made_at(bundle.manifest.created)
                if made is not None:  # a manifest may say anything there
                    self._metrics.model_age.labels(model).set(time.time() - made)
