"""The loaded versions and the work around them: load candidates one at a time, publish snapshots, close what drained.

Decisions are `lifecycle.py`'s. Whatever is wrong with a candidate, what is loaded goes on.
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
from service.versions.health import Health, HealthRules
from service.versions.lifecycle import Budget, Lifecycle
from service.versions.loader import Loader
from service.versions.resident import ModelBundle, Observe
from service.versions.snapshot import Rejection, Snapshot
from service.versions.states import Book, Key, State, VersionStatus
from service.versions.tuned import same_shape

_USABLE_MEMORY = 0.8
"""Share of the memory at hand that versions may take where no setting says how much."""
_LOADED = {State.READY, State.ACTIVE}


class Residents:
    """Owns all loaded bundles. Methods run on the event loop."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float], observe: Observe) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._observe = observe
        self._log = get_logger(__name__)
        self.snapshot = Snapshot()
        self.book = Book(time.time, self._moved)
        self.lifecycle = Lifecycle(self.book, budget(settings))
        self.unreadable: dict[str, Rejection] = {}
        """Pointers that cannot be read, by model."""
        self._loader = Loader(settings, self.book, metrics, clock)
        self._bundles: dict[Key, ModelBundle] = {}
        self._told: dict[tuple[str, str | None], Rejection] = {}
        self._loading: asyncio.Task[None] | None = None
        self._retiring: dict[Key, asyncio.Task[None]] = {}
        self._tokenize_threads = ThreadPoolExecutor(2, thread_name_prefix="tokenize")

    def start_loading(self) -> None:
        """Have what is discovered loaded, if that is not under way."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_all(), name="loader")

    async def loaded(self) -> None:
        """Until everything that is discovered is loaded or refused."""
        if self._loading:
            await asyncio.wait({self._loading})

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish what is queued within `timeout_s`, free every engine. Idempotent."""
        tasks = [task for task in (self._loading, *self._retiring.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.snapshot = Snapshot()
        bundles, self._bundles = self._bundles, {}
        await asyncio.gather(*(self._close(bundle, timeout_s) for bundle in bundles.values()))
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
        self._bundles[model, digest].health.disarm()  # it proved itself before
        self._metrics.model_rollbacks.labels(model, cause).inc()
        self._log.warning("rolled_back", alias=f"{model}@{alias}", version=digest[:SHORT_DIGEST], cause=cause)
        return digest

    def publish(self) -> None:
        """Replace the snapshot by what the lifecycle decides now; begin and stop draining."""
        self.lifecycle.settle()
        old = self.snapshot
        self.snapshot = Snapshot(
            {
                model: {alias: self._bundles[model, digest] for alias, digest in aliases.served.items()}
                for model, aliases in self.lifecycle.aliases.items()
                if aliases.served
            },
            {status.digest: self._bundles[status.key] for status in self.book if status.state in _LOADED},
            (*self.unreadable.values(), *self._rejections()),
        )
        self._note_moves(old)
        for key, task in self._retiring.items():
            if self.book.state(key) in _LOADED:
                task.cancel()  # wanted again before its last request was done
        for status in self.book:
            if status.state is State.DRAINING and status.key not in self._retiring:
                self._retiring[status.key] = asyncio.create_task(self._retire(status.key), name="retire")

    def tell(self, rejection: Rejection) -> None:
        """Log and count a refusal, the first time only."""
        key = (rejection.model, rejection.digest)
        if self._told.get(key) == rejection:
            return
        self._told[key] = rejection
        self._metrics.model_load_failures.labels(rejection.model, rejection.reason).inc()
        self._log.error(
            "model_rejected", model=rejection.model, version=rejection.digest and rejection.digest[:SHORT_DIGEST],
            reason=rejection.reason, message=rejection.message,
        )  # fmt: skip

    def _rejections(self) -> list[Rejection]:
        return [
            Rejection(status.model, status.digest, status.reason, status.message or "")
            for status in self.book
            if status.reason and status.key not in self._bundles
        ]

    def _note_moves(self, old: Snapshot) -> None:
        for model, names in self.snapshot.aliases.items():
            for alias, bundle in names.items():
                if old.aliases.get(model, {}).get(alias) is not bundle:
                    bundle.health.arm()
                    self._metrics.model_swaps.labels(model).inc()
                    self._log.info("alias_moved", alias=f"{model}@{alias}", version=bundle.digest[:SHORT_DIGEST])

    async def _load_all(self) -> None:
        """One at a time, until nothing is left to load."""
        while key := self.lifecycle.next():
            if closing := self._retiring.get(key):
                await asyncio.wait({closing})
            try:
                self._bundles[key] = await self._load(key)
            except Exception as error:  # noqa: BLE001 - the reload boundary: no candidate ends the loading
                self._refuse(key, error)
            else:
                self.book.move(key, State.READY)
                self._log.info("model_loaded", version=self._bundles[key].name)
            self.publish()

    async def _load(self, key: Key) -> ModelBundle:
        tuned = await self._loader.load(
            key, check_room=self.lifecycle.check_room, make_room=partial(self._make_room, key), twin=self._twin
        )
        return ModelBundle(
            tuned,
            self._settings,
            tokenize_threads=self._tokenize_threads,
            clock=self._clock,
            metrics=self._metrics,
            health=Health(health_rules(self._settings), self._clock, partial(self._tripped, key)),
            observe=self._observe,
        )

    async def _make_room(self, key: Key, size: int) -> None:
        """Claim memory; wait for those that must go first to be done with their requests."""
        while not self.lifecycle.make_room(key, size):
            self.publish()
            await asyncio.wait(self._retiring.values(), return_when=asyncio.FIRST_COMPLETED)

    def _twin(self, manifest: Manifest) -> Profile | None:
        found = (b.profile for b in self.snapshot.resident.values() if same_shape(b.manifest, manifest))
        return next(found, None)

    def _refuse(self, key: Key, error: Exception) -> None:
        if not isinstance(error, BundleRejected):
            self._log.error("load_failed", model=key[0], version=key[1][:SHORT_DIGEST], error=repr(error))
            error = BundleRejected(f"loading it failed unexpectedly ({type(error).__name__})", reason="internal")
        self.lifecycle.free(key)
        self.book.move(key, State.REJECTED, reason=error.reason, message=error.message)
        self.tell(Rejection(*key, error.reason, error.message))

    def _tripped(self, key: Key, cause: str) -> None:
        """A version on probation failed: every alias that names it goes back, if it can."""
        model, digest = key
        self._log.error("version_unhealthy", model=model, version=digest[:SHORT_DIGEST], cause=cause)
        for alias, served in list(self.lifecycle.aliases[model].served.items()):
            if served == digest:
                try:
                    self.roll_back(model, alias, cause)
                except RollbackImpossible as error:
                    self._log.error("rollback_impossible", alias=f"{model}@{alias}", message=error.message)

    async def _retire(self, key: Key) -> None:
        """Wait for a version's last requests, and close it. Cancelled while it waits: it is wanted again."""
        bundle, timeout_s = self._bundles[key], self._settings.limits.max_timeout_s
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await bundle.unused()
            self.book.move(key, State.RETIRED)
            await self._close(bundle, 0.0)
            del self._bundles[key]
            self.lifecycle.free(key)
        finally:
            del self._retiring[key]

    async def _close(self, bundle: ModelBundle, timeout_s: float) -> None:
        await bundle.aclose(timeout_s=timeout_s)
        bundle.metrics.retire()
        bundle.observer.close()
        self._log.info("model_retired", version=bundle.name)

    def _moved(self, before: VersionStatus | None, after: VersionStatus) -> None:
        """Keep the metric of states."""
        model, version = after.model, after.digest[:SHORT_DIGEST]
        if before:
            self._metrics.model_state.remove(model, version, before.state)
        if after.state is not State.RETIRED:
            self._metrics.model_state.labels(model, version, after.state).set(1)


def budget(settings: Settings) -> Budget:
    """What versions may take, by the settings and the machine."""
    limits = settings.repository
    size = limits.resident_bytes or int(_USABLE_MEMORY * memory_bytes())
    return Budget(limits.resident_versions, size, {DEFAULT_ALIAS: limits.keep_previous})


def health_rules(settings: Settings) -> HealthRules | None:
    """When a version goes back by itself; None: never."""
    rules = settings.rollback
    if not rules.automatic:
        return None
    return HealthRules(rules.within_s, rules.window_s, rules.error_ratio, rules.min_items, rules.non_finite)
