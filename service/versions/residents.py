"""Loads candidates one at a time, publishes snapshots, closes drained versions; `lifecycle.py` decides which.

No fault of a candidate disturbs the loaded versions.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from service.bundle.manifest import Manifest
from service.bundle.pointer import DEFAULT_ALIAS
from service.engine.machine import memory_bytes
from service.engine.profile import Profile
from service.errors import BundleRejected, RollbackImpossible
from service.settings import Settings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST, Metrics
from service.versions.health import Health
from service.versions.lifecycle import Budget, Lifecycle
from service.versions.loader import Loader
from service.versions.resident import Observe, ResidentVersion, Served, Snapshot
from service.versions.states import Key, Rejection, State, VersionRegistry, VersionStatus
from service.versions.tuned import same_shape

_USABLE_MEMORY = 0.8
"""Share of the available memory that versions may take by default."""
_LOADED = {State.READY, State.ACTIVE}


class Residents:
    """Owns all loaded versions. Methods run on the event loop."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float], observe: Observe) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._observe = observe
        self._log = get_logger(__name__)
        self.served = Served(settings.default_model)
        self.registry = VersionRegistry(time.time, self._moved)
        self.lifecycle = Lifecycle(self.registry, budget(settings))
        self.unreadable: dict[str, Rejection] = {}
        """Pointers that cannot be read, by model."""
        self._loader = Loader(settings, self.lifecycle, metrics, clock)
        self._versions: dict[Key, ResidentVersion] = {}
        self._reported: dict[tuple[str, str | None], Rejection] = {}
        self._loading: asyncio.Task[None] | None = None
        self._retiring: dict[Key, asyncio.Task[None]] = {}
        self._tokenize_threads = ThreadPoolExecutor(2, thread_name_prefix="tokenize")

    def start_loading(self) -> None:
        """Start to load the discovered versions, unless that is under way."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_all(), name="loader")

    async def loaded(self) -> None:
        """Wait until every discovered version is loaded or refused."""
        if self._loading:
            await asyncio.wait({self._loading})

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish queued items within `timeout_s`, free every engine. Idempotent."""
        tasks = [task for task in (self._loading, *self._retiring.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.served.snapshot = Snapshot()
        versions, self._versions = self._versions, {}
        await asyncio.gather(*(self._close(version, timeout_s) for version in versions.values()))
        self._tokenize_threads.shutdown(wait=False, cancel_futures=True)

    def roll_back(self, model: str, alias: str, cause: str) -> str:
        """Send an alias back to its latest former version that is still loaded, at once; returns its digest.

        It stays there until the pointer changes this alias. A restart forgets it: the pointer is the only memory.

        Args:
            cause: one of a closed set: it labels a metric.

        Raises:
            RollbackImpossible: no former version is loaded.
        """
        digest = self.lifecycle.roll_back(model, alias, cause=cause)
        self.publish()
        self._versions[model, digest].health.disarm()  # it proved itself before
        self._metrics.model_rollbacks.labels(model, cause).inc()
        self._log.warning("rolled_back", alias=f"{model}@{alias}", version=digest[:SHORT_DIGEST], cause=cause)
        return digest

    def publish(self) -> None:
        """Reconcile aliases and states, replace the snapshot, and start or stop draining."""
        self.lifecycle.reconcile()
        old = self.served.snapshot
        self.served.snapshot = Snapshot(
            {
                model: {alias: self._versions[model, digest] for alias, digest in aliases.served.items()}
                for model, aliases in self.lifecycle.aliases.items()
                if aliases.served
            },
            {status.digest: self._versions[status.key] for status in self.registry if status.state in _LOADED},
            (*self.unreadable.values(), *self._rejections()),
        )
        self._note_moves(old)
        for key, task in self._retiring.items():
            if self.registry.state(key) in _LOADED:
                task.cancel()  # needed again before its last request was done
        for status in self.registry:
            if status.state is State.DRAINING and status.key not in self._retiring:
                self._retiring[status.key] = asyncio.create_task(self._retire(status.key), name="retire")

    def report_rejection(self, rejection: Rejection) -> None:
        """Log and count a refusal once, however often it is met."""
        key = (rejection.model, rejection.digest)
        if self._reported.get(key) == rejection:
            return
        self._reported[key] = rejection
        self._metrics.model_load_failures.labels(rejection.model, rejection.reason).inc()
        self._log.error(
            "model_rejected", model=rejection.model, version=rejection.digest and rejection.digest[:SHORT_DIGEST],
            reason=rejection.reason, message=rejection.message,
        )  # fmt: skip

    def _rejections(self) -> list[Rejection]:
        return [
            Rejection(status.model, status.digest, status.reason, status.message or "")
            for status in self.registry
            if status.reason and status.key not in self._versions
        ]

    def _note_moves(self, old: Snapshot) -> None:
        for model, names in self.served.snapshot.aliases.items():
            for alias, version in names.items():
                if old.aliases.get(model, {}).get(alias) is not version:
                    version.health.arm()
                    self._metrics.model_swaps.labels(model).inc()
                    self._log.info("alias_moved", alias=f"{model}@{alias}", version=version.digest[:SHORT_DIGEST])

    async def _load_all(self) -> None:
        """Load one version after the other until none is discovered."""
        while key := self.lifecycle.next():
            # The same version may still be closing: its registry entry and metrics must be gone before it comes back.
            if closing := self._retiring.get(key):
                await asyncio.wait({closing})
            try:
                self._versions[key] = await self._load(key)
            except Exception as error:  # noqa: BLE001 - the reload boundary: no candidate ends the loading
                self._refuse(key, error)
            else:
                self.registry.move(key, State.READY)
                self._log.info("model_loaded", version=self._versions[key].name)
            self.publish()

    async def _load(self, key: Key) -> ResidentVersion:
        files = await self._loader.verify(key)
        await self._make_room(key, self._loader.estimate(files.manifest))
        opened = await self._loader.open(key, files, self._same_shape_profile(files.manifest))
        return ResidentVersion(
            opened,
            self._settings,
            tokenize_threads=self._tokenize_threads,
            clock=self._clock,
            metrics=self._metrics,
            health=Health(self._settings.rollback, self._clock, partial(self._tripped, key)),
            observe=self._observe,
        )

    async def _make_room(self, key: Key, size: int) -> None:
        """Claim memory; wait until evicted versions have answered their last requests."""
        while not self.lifecycle.make_room(key, size):
            self.publish()
            await asyncio.wait(self._retiring.values(), return_when=asyncio.FIRST_COMPLETED)

    def _same_shape_profile(self, manifest: Manifest) -> Profile | None:
        loaded = self.served.snapshot.resident.values()
        return next((version.profile for version in loaded if same_shape(version.manifest, manifest)), None)

    def _refuse(self, key: Key, error: Exception) -> None:
        if not isinstance(error, BundleRejected):
            self._log.error("load_failed", model=key[0], version=key[1][:SHORT_DIGEST], error=repr(error))
            error = BundleRejected(f"loading it failed unexpectedly ({type(error).__name__})", reason="internal")
        self.lifecycle.free(key)
        self.registry.move(key, State.REJECTED, reason=error.reason, message=error.message)
        self.report_rejection(Rejection(*key, error.reason, error.message))

    def _tripped(self, key: Key, cause: str) -> None:
        """Send every alias of a version that failed its probation back to a former version, if there is one."""
        model, digest = key
        self._log.error("version_unhealthy", model=model, version=digest[:SHORT_DIGEST], cause=cause)
        for alias, served in list(self.lifecycle.aliases[model].served.items()):
            if served == digest:
                try:
                    self.roll_back(model, alias, cause)
                except RollbackImpossible as error:
                    self._log.error("rollback_impossible", alias=f"{model}@{alias}", message=error.message)

    async def _retire(self, key: Key) -> None:
        """Wait for a version's last requests, then close it; cancelled if it is needed again meanwhile."""
        version, timeout_s = self._versions[key], self._settings.limits.max_timeout_s
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await version.unused()
            # Retired before it is closed: `publish` cancels this task only while the version can still come back.
            self.registry.move(key, State.RETIRED)
            await self._close(version, 0.0)
            del self._versions[key]
            self.lifecycle.free(key)
        finally:
            del self._retiring[key]

    async def _close(self, version: ResidentVersion, timeout_s: float) -> None:
        await version.aclose(timeout_s=timeout_s)
        version.metrics.retire()
        version.observer.close()
        self._log.info("model_retired", version=version.name)

    def _moved(self, before: VersionStatus | None, after: VersionStatus) -> None:
        """Update the metric of states."""
        model, version = after.model, after.digest[:SHORT_DIGEST]
        if before:
            self._metrics.model_state.remove(model, version, before.state)
        if after.state is not State.RETIRED:
            self._metrics.model_state.labels(model, version, after.state).set(1)


def budget(settings: Settings) -> Budget:
    """The limits of loaded versions, from the settings and the machine's memory."""
    limits = settings.repository
    size = limits.resident_bytes or int(_USABLE_MEMORY * memory_bytes())
    return Budget(limits.resident_versions, size, {DEFAULT_ALIAS: limits.keep_previous})
