"""A loaded version: tokenizer, engine and batcher with one lifetime; and how a request is pinned to one."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from service.bundle.manifest import Manifest
from service.bundle.pointer import DEFAULT_ALIAS
from service.bundle.tokenize import Encoded
from service.domain import Encoding, Item, Outcome, Reward
from service.errors import EngineError, NonFiniteReward, NotReady, Overloaded, UnknownModel
from service.settings import Settings
from service.telemetry.metrics import SHORT_DIGEST, Metrics, ModelMetrics
from service.versions.health import Health
from service.versions.isolate import OpenedVersion
from service.versions.states import Rejection

_USABLE = 0.8
"""Share of the time to its deadline that a request may be predicted to wait; the rest covers errors of prediction."""
_INLINE_CHARACTERS = 2000
"""A millisecond, at most, of the event loop."""
_SELECTOR = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]{0,63})(?:@(?P<which>[a-z0-9][a-z0-9._-]{0,63}))?")
_MIN_DIGEST_PREFIX = 8


class Observer(Protocol):
    """Receives the outcomes of a version's requests until it is retired; not of those that the service itself makes."""

    def note(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None: ...
    def close(self) -> None: ...


Observe = Callable[[Manifest, str], Observer]
"""Makes the observer of a version that was just loaded, from its manifest and digest."""


class ResidentVersion:
    """A version that requests can be pinned to. Closed only when the last of them is done."""

    def __init__(
        self,
        opened: OpenedVersion,
        settings: Settings,
        *,
        tokenize_threads: ThreadPoolExecutor,
        clock: Callable[[], float],
        metrics: Metrics,
        health: Health,
        observe: Observe,
    ) -> None:
        self.manifest, self.digest = opened.manifest, opened.digest
        self.calibrator = self.manifest.calibrator
        self.profile = opened.profile
        self.health = health
        self._tokenizer = replace(opened.tokenizer, share_prompts=settings.batching.share_prompts)
        self._threads = tokenize_threads
        self._clock = clock
        self.metrics = ModelMetrics(
            metrics,
            self.manifest.model,
            self.digest,
            objective=self.manifest.objective,
            precision=self.manifest.precision,
            calibrated=self.manifest.calibration is not None,
            temperature=self.calibrator.temperature,
        )
        self.observer = observe(self.manifest, self.digest)
        self._opened = opened
        self.engine = opened.start(self.metrics)
        self._refuse_late = settings.limits.refuse_late
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def name(self) -> str:
        """`model@digest`, the digest shortened: its name in logs and replies."""
        return f"{self.manifest.model}@{self.digest[:SHORT_DIGEST]}"

    async def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Tokenize off the event loop, but for short texts: a thread would cost more than it frees."""
        started = self._clock()
        if sum(item.characters for item in items) <= _INLINE_CHARACTERS:
            encoded = self._tokenizer.encode(items)
        else:
            loop = asyncio.get_running_loop()
            encoded = await loop.run_in_executor(self._threads, self._tokenizer.encode, items)
        self.metrics.tokenized(self._clock() - started)
        return encoded

    @property
    def queued_s(self) -> float:
        """Predicted seconds until the engine has run everything that is queued now."""
        return self.engine.wait_s()

    def check_wait(self, deadline: float, encoded: Sequence[Encoded] = ()) -> None:
        """Refuse a request at once if, by prediction, it would miss its deadline.

        Args:
            encoded: the items that would be queued; empty before they are tokenized: then only the queue counts.

        Raises:
            Overloaded: the queue's predicted time leaves too little of the time to the deadline.
        """
        queued_s = self.queued_s
        if queued_s <= 0 or not self._refuse_late:
            return  # an idle engine refuses no request: predictions may be wrong
        own = [entry for entry in encoded if isinstance(entry, Encoding)]
        if self.engine.wait_s(own) > _USABLE * (deadline - self._clock()):
            raise Overloaded(
                "the queue is longer than the request's deadline allows",
                reason="deadline",
                queued_s=queued_s,
            )

    def record_outcomes(self, outcomes: Sequence[Outcome], *, traffic: bool = True) -> None:
        """Count the outcomes of a request; those of real traffic also count for the version's probation."""
        rewards = sum(isinstance(outcome, Reward) for outcome in outcomes)
        self.metrics.record_outcomes(rewards=rewards, errors=len(outcomes) - rewards)
        failed = non_finite = 0
        if rewards < len(outcomes):
            failed = sum(isinstance(outcome, EngineError) for outcome in outcomes)
            non_finite = sum(isinstance(outcome, NonFiniteReward) for outcome in outcomes)
        if traffic:
            self.health.note(items=rewards + failed, failed=failed, non_finite=non_finite)

    def acquire(self) -> None:
        """Count a request that is pinned to this version."""
        self._users += 1
        self._unused.clear()

    def release(self) -> None:
        """Count a request that is done."""
        self._users -= 1
        if self._users == 0:
            self._unused.set()

    async def unused(self) -> None:
        """Wait until no request is pinned to it."""
        await self._unused.wait()

    async def aclose(self, *, timeout_s: float) -> None:
        """Wait for pinned requests, then close the engine. Idempotent."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._unused.wait()
        except TimeoutError:
            timeout_s = 0.0
        await self.engine.aclose(timeout_s=timeout_s)
        self._opened.close()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The versions served at one moment; replaced as a whole, never changed."""

    aliases: Mapping[str, Mapping[str, ResidentVersion]] = field(default_factory=dict)
    """By model, then by alias."""
    resident: Mapping[str, ResidentVersion] = field(default_factory=dict)
    """Every loaded version by its digest, also those that no alias names."""
    rejections: tuple[Rejection, ...] = ()

    def knows(self, selector: str) -> bool:
        """Whether a selector names one of the served models, in any version."""
        match = _SELECTOR.fullmatch(selector)
        return match is not None and match["name"] in self.aliases

    def select(self, selector: str | None, *, default_model: str | None) -> ResidentVersion:
        """The version that `name`, `name@alias` or `name@digest` (8 digits or more) names.

        Raises:
            UnknownModel: no such model, alias or loaded version.
            NotReady: nothing is loaded yet.
        """
        if not self.aliases:
            raise NotReady("no model version is loaded yet")
        match = _SELECTOR.fullmatch(selector or default_model or self._only_model())
        if match is None or match["name"] not in self.aliases:
            raise UnknownModel(f"no such model; served: {', '.join(sorted(self.aliases))}", param="model")
        model, which = match["name"], match["which"] or DEFAULT_ALIAS
        if which in self.aliases[model]:
            return self.aliases[model][which]
        found = [
            version
            for digest, version in self.resident.items()
            if digest.startswith(which) and version.manifest.model == model
        ]
        if len(which) >= _MIN_DIGEST_PREFIX and len(found) == 1:
            return found[0]
        raise UnknownModel(
            f"model {model} has no such alias or resident version; "
            f"aliases: {', '.join(sorted(self.aliases[model]))} (or 8 or more digits of a version's digest)",
            param="model",
        )

    def _only_model(self) -> str:
        names = sorted(self.aliases)
        if len(names) == 1:
            return names[0]
        raise UnknownModel(f"name a model, several are served: {', '.join(names)}", param="model")


class Served:
    """The versions that requests can be pinned to now."""

    def __init__(self, default_model: str | None) -> None:
        self._default_model = default_model
        self.snapshot = Snapshot()

    @contextmanager
    def pin(self, selector: str | None) -> Iterator[ResidentVersion]:
        """Keep one version for the whole of a request, even if the pointer changes meanwhile; raises as `select`."""
        version = self.snapshot.select(selector, default_model=self._default_model)
        version.acquire()
        try:
            yield version
        finally:
            version.release()
