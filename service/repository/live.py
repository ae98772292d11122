"""The versions that are resident now: watch the store, load what the pointers name, swap, drain what is gone.

A request pins one bundle. Whatever is wrong with a new version, the old one goes on: the failure is logged once,
counted, and kept to be read in /rm/v1/models.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from service.errors import BundleRejected, NotReady, UnknownModel
from service.repository.bundle import ModelBundle, warm_up
from service.repository.pointer import Pointer, read_pointer
from service.repository.store import model_names, version_directory
from service.repository.tuned import TunedModel, load_tuned
from service.settings import Settings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST, Metrics

DEFAULT_ALIAS = "stable"
_SELECTOR = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<which>[a-z0-9][a-z0-9._-]{0,63}))?")
_MIN_DIGEST_PREFIX = 8


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a version is not served."""

    model: str
    digest: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is served at one moment; replaced as a whole, never changed."""

    aliases: Mapping[str, Mapping[str, ModelBundle]] = field(default_factory=dict)
    """By model, then by alias."""
    rejections: tuple[Rejection, ...] = ()

    def bundles(self) -> dict[str, ModelBundle]:
        """Every resident version once, by digest."""
        return {bundle.digest: bundle for names in self.aliases.values() for bundle in names.values()}


class Live:
    """Owns all resident bundles. Reads the store, never writes it."""

    def __init__(self, settings: Settings, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._log = get_logger(__name__)
        self._snapshot = Snapshot()
        self._refused: dict[str, Rejection] = {}
        self._tokenise_threads = ThreadPoolExecutor(2, thread_name_prefix="tokenise")
        self._retiring: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._store_up: bool | None = None
        self._refreshing = asyncio.Lock()

    @property
    def snapshot(self) -> Snapshot:
        return self._snapshot

    @property
    def ready(self) -> bool:
        """Whether any version can score."""
        return bool(self._snapshot.aliases)

    async def open(self) -> None:
        """Load what the store names now, then keep watching it."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch(), name="store-watcher")

    async def aclose(self, *, timeout_s: float) -> None:
        """Stop watching, finish what is queued within `timeout_s`, free every engine. Idempotent."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        bundles = self._snapshot.bundles().values()
        self._snapshot = Snapshot()
        await asyncio.gather(*(self._close(bundle, timeout_s) for bundle in bundles), *self._retiring)
        self._tokenise_threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def pin(self, selector: str | None) -> Iterator[ModelBundle]:
        """Hold one version for the whole of a request, whatever the pointer does meanwhile.

        Raises:
            UnknownModel: no such model, alias or resident version.
            NotReady: nothing is loaded yet.
        """
        bundle = self._select(selector)
        bundle.acquire()
        try:
            yield bundle
        finally:
            bundle.release()

    def knows(self, selector: str) -> bool:
        """Whether a selector names a model of ours, whatever version of it."""
        match = _SELECTOR.fullmatch(selector)
        return match is not None and match["name"] in self._snapshot.aliases

    def _select(self, selector: str | None) -> ModelBundle:
        aliases = self._snapshot.aliases
        if not aliases:
            raise NotReady("no model version is loaded yet")
        match = _SELECTOR.fullmatch(selector or self._default_model())
        if match is None or match["name"] not in aliases:
            raise UnknownModel(f"no such model; served: {', '.join(sorted(aliases))}", param="model")
        names = aliases[match["name"]]
        which = match["which"] or DEFAULT_ALIAS
        if which in names:
            return names[which]
        found = {bundle.digest: bundle for bundle in names.values() if bundle.digest.startswith(which)}
        if len(which) >= _MIN_DIGEST_PREFIX and len(found) == 1:
            return next(iter(found.values()))
        raise UnknownModel(
            f"model {match['name']} has no such alias or resident version; "
            f"aliases: {', '.join(sorted(names))} (or 8 or more digits of a version's digest)",
            param="model",
        )

    def _default_model(self) -> str:
        if self._settings.default_model:
            return self._settings.default_model
        names = sorted(self._snapshot.aliases)
        if len(names) == 1:
            return names[0]
        raise UnknownModel(f"name a model, several are served: {', '.join(names)}", param="model")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.repository.poll_interval_s)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the reload boundary: watching goes on, what is loaded serves
                self._log.error("store_watch_failed", error=repr(error))

    async def refresh(self) -> None:
        """Look at the store once; load, swap and retire as the pointers say. One look at a time, in order of asking."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        try:
            names = await asyncio.to_thread(model_names, self._settings.store)
        except OSError as error:
            self._note_store(up=False, detail=error.strerror or "unreadable")
            return
        self._note_store(up=True, detail="")
        self._metrics.store_last_poll.set(time.time())
        aliases: dict[str, Mapping[str, ModelBundle]] = {}
        rejections: list[Rejection] = []
        # What is loaded goes on serving though its folder is gone: a mount that comes loose looks like an empty store.
        for name in sorted({*names, *self._snapshot.aliases}):
            served, refused = await self._resolve(name)
            rejections += refused
            if served:
                aliases[name] = served
        self._swap(Snapshot(aliases, tuple(rejections)))

    def _note_store(self, *, up: bool, detail: str) -> None:
        if up != self._store_up:
            self._log.log(20 if up else 40, "store_up" if up else "store_unreadable", detail=detail)
        self._store_up = up
        self._metrics.store_up.set(up)

    async def _resolve(self, model: str) -> tuple[Mapping[str, ModelBundle], list[Rejection]]:
        """The bundles behind a model's aliases; an alias whose new version fails keeps its old one."""
        before = self._snapshot.aliases.get(model, {})
        try:
            pointer = await asyncio.to_thread(read_pointer, self._settings.store / model)
        except BundleRejected as error:
            return before, [self._reject(model, None, error)]
        self._metrics.store_generation.labels(model).set(pointer.generation)
        opened, rejections = await self._open_missing(model, pointer)
        served: dict[str, ModelBundle] = {}
        for alias, digest in pointer.aliases.items():
            bundle = opened.get(digest) or before.get(alias)
            if bundle:
                served[alias] = bundle
        return served, rejections

    async def _open_missing(self, model: str, pointer: Pointer) -> tuple[dict[str, ModelBundle], list[Rejection]]:
        opened = {key: bundle for key, bundle in self._snapshot.bundles().items() if bundle.manifest.model == model}
        rejections: list[Rejection] = []
        for digest in sorted(set(pointer.aliases.values()) - set(opened)):
            known = self._refused.get(f"{model}/{digest}")
            if known and known.reason != "io":
                rejections.append(known)
                continue
            try:
                opened[digest] = await self._open(model, digest)
            except BundleRejected as error:
                rejections.append(self._reject(model, digest, error))
        return opened, rejections

    async def _open(self, model: str, digest: str) -> ModelBundle:
        started = self._clock()
        loaded = await asyncio.to_thread(self._load, model, digest)
        bundle = ModelBundle(
            loaded,
            self._settings,
            tokenise_threads=self._tokenise_threads,
            clock=self._clock,
            metrics=self._metrics,
        )
        seconds = self._clock() - started
        self._metrics.model_load_seconds.labels(model).observe(seconds)
        self._log.info("model_loaded", version=bundle.name, seconds=round(seconds, 3))
        return bundle

    def _load(self, model: str, digest: str) -> TunedModel:
        tuned = load_tuned(version_directory(self._settings.store, model, digest), self._settings)
        if tuned.model.manifest.model != model:
            tuned.model.backend.close()
            raise BundleRejected(f"the manifest belongs to model {tuned.model.manifest.model}", reason="parse")
        warm_up(tuned.model)
        return tuned

    def _reject(self, model: str, digest: str | None, error: BundleRejected) -> Rejection:
        """Note a refusal; log and count it the first time only."""
        rejection = Rejection(model, digest, error.reason, error.message)
        key = f"{model}/{digest or 'pointer'}"
        if self._refused.get(key) != rejection:
            self._refused[key] = rejection
            self._metrics.model_load_failures.labels(model, error.reason).inc()
            self._log.error(
                "model_rejected", model=model, version=digest and digest[:SHORT_DIGEST], reason=error.reason,
                message=error.message,
            )  # fmt: skip
        return rejection

    def _swap(self, new: Snapshot) -> None:
        old, self._snapshot = self._snapshot, new
        for model, names in new.aliases.items():
            for alias, bundle in names.items():
                previous = old.aliases.get(model, {}).get(alias)
                if previous is not bundle:
                    self._metrics.model_swaps.labels(model).inc()
                    self._log.info("alias_moved", alias=f"{model}@{alias}", version=bundle.digest[:SHORT_DIGEST])
        gone = old.bundles().keys() - new.bundles().keys()
        for digest in gone:
            task = asyncio.create_task(self._close(old.bundles()[digest], self._settings.limits.max_timeout_s))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _close(self, bundle: ModelBundle, timeout_s: float) -> None:
        await bundle.aclose(timeout_s=timeout_s)
        bundle.metrics.retire()
        self._log.info("model_retired", version=bundle.name)
