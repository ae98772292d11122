"""A candidate's way to being served: verify, probe, open, warm up, self-test. Each step off the loop, with a limit.

Whatever is wrong with it ends in `BundleRejected` with a reason, and leaves nothing open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import numpy as np

from service.bundle.manifest import Manifest
from service.bundle.open import LoadedModel, check_golden
from service.bundle.store import VerifiedFiles, read_manifest, read_verified, version_directory
from service.domain import Encoding
from service.engine.backend import pad
from service.engine.profile import Profile
from service.errors import BundleRejected, EngineError
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.versions.apart import apart
from service.versions.probe import Probe, ProbeLimits
from service.versions.states import Book, Key, State
from service.versions.tuned import TunedModel, load_tuned

T = TypeVar("T")
_WARM_UP_TOKENS = 512
_NICE = 10
_SAME = 1e-6
"""Golden rewards that differ by less, for their size, are one reward."""


class Loader:
    """Loads one version at a time; its caller sees to that."""

    def __init__(self, settings: Settings, book: Book, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._book = book
        self._metrics = metrics
        self._clock = clock

    async def load(
        self,
        key: Key,
        *,
        check_room: Callable[[int], None],
        make_room: Callable[[int], Awaitable[None]],
        twin: Callable[[Manifest], Profile | None],
    ) -> TunedModel:
        """Take a discovered version up to its self-test.

        Args:
            check_room: refuses what could not be held, by its estimated bytes: before its weights are read.
            make_room: claims those bytes: once it has shown that it can run.
            twin: the profile of a loaded version of the same shape, if there is one.

        Raises:
            BundleRejected: with the reason.
        """
        limits = self._settings.repository
        files = await self._step(key, State.VERIFYING, self._verify(key, check_room), limits.load_s)
        await self._step(key, State.PROBING, self._probe(files), limits.load_s)
        await make_room(self._estimate(files.manifest))
        opening = partial(load_tuned, files, self._settings, twin=twin(files.manifest))
        tuned = await self._step(key, State.LOADING, apart(opening, name="open"), limits.load_s)
        try:
            for state, proof in ((State.WARMING, warm_up), (State.SELF_TEST, self_test)):
                await self._step(key, state, apart(partial(proof, tuned.model), name=state), limits.warm_up_s)
        except BaseException:
            tuned.model.backend.close()
            raise
        return tuned

    async def _step(self, key: Key, state: State, work: Awaitable[T], limit_s: float) -> T:
        self._book.move(key, state)
        started = self._clock()
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            raise BundleRejected(f"the step {state} did not end in {limit_s:g} s", reason="timeout") from None
        finally:
            self._metrics.model_load_seconds.labels(key[0], state).observe(self._clock() - started)

    async def _verify(self, key: Key, check_room: Callable[[int], None]) -> VerifiedFiles:
        model, digest = key
        directory = version_directory(self._settings.store, model, digest)
        _, manifest = await apart(partial(read_manifest, directory), name="verify", nice=_NICE)
        if manifest.model != model:
            raise BundleRejected(f"the manifest belongs to model {manifest.model}", reason="parse")
        check_room(self._estimate(manifest))
        return await apart(partial(read_verified, directory), name="verify", nice=_NICE)

    async def _probe(self, files: VerifiedFiles) -> None:
        limits = self._settings.repository
        if not limits.probe:
            return
        whole = self._settings.runtime.device == "cpu"
        probe = Probe(ProbeLimits(limits.probe_s, limits.probe_memory_bytes, whole))
        try:
            await apart(partial(probe.run, files), name="probe")
        finally:
            probe.stop()

    def _estimate(self, manifest: Manifest) -> int:
        """Bytes that the version is taken to need while it is loaded."""
        return int(self._settings.repository.resident_factor * sum(entry.size for entry in manifest.files))


def warm_up(model: LoadedModel) -> None:
    """Run the longest shape once, so that the first request does not pay for the engine's allocations. Blocking.

    Raises:
        BundleRejected: reason `warmup`, or `selftest` where it runs and answers no number.
    """
    length = min(model.manifest.input_format.max_length, _WARM_UP_TOKENS)
    row = Encoding((model.manifest.golden[0].token_ids[0],) * length, length, 0)
    try:
        logits = model.backend.run(pad([row], model.pad_id))
    except EngineError as error:
        raise BundleRejected(f"a text of {length} tokens fails: {error.message}", reason="warmup") from None
    if not np.isfinite(logits).all():
        raise BundleRejected(f"a text of {length} tokens gets no finite reward", reason="selftest")


def self_test(model: LoadedModel) -> None:
    """Rescore the golden inputs, and see that rewards depend on the text at all. Blocking.

    Raises:
        BundleRejected: reason `selftest`.
    """
    check_golden(model)
    golden = model.manifest.golden
    rewards = np.array([entry.reward for entry in golden])
    if len({entry.token_ids for entry in golden}) > 1 and np.ptp(rewards) <= _SAME * max(1.0, np.abs(rewards).max()):
        raise BundleRejected("it gives every text the same reward", reason="selftest")
