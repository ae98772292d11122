"""Loads a candidate: verify, dry run, open, warm up, self-test. Each step off the event loop, with a time limit.

Every fault of a candidate ends in `BundleRejected` with a reason, and leaves nothing open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from service.bundle.manifest import Manifest
from service.bundle.open import TOKENIZER_FILE, open_tokenizer, open_upstream
from service.bundle.store import VerifiedFiles, read_manifest, read_verified, version_directory
from service.engine.process import EngineProcess
from service.engine.profile import Profile
from service.errors import BundleRejected, UpstreamChanged, UpstreamUnavailable
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.versions.daemon_thread import run_in_daemon_thread
from service.versions.dry_run import DryRun, DryRunLimits
from service.versions.isolate import EngineStart, OpenedVersion, opened_apart, opened_here
from service.versions.lifecycle import Lifecycle
from service.versions.self_test import self_test, warm_up
from service.versions.states import Key, State
from service.versions.tuned import largest_batch, load_tuned
from service.versions.upstream import UpstreamVersion, opened_upstream

T = TypeVar("T")
_NICE = 10


class Loader:
    """Loads versions; its caller loads one at a time."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._clock = clock

    async def verify(self, key: Key) -> VerifiedFiles:
        """Read a discovered version, check its digests, and run it once in a child process.

        Raises:
            BundleRejected: with the reason.
        """
        limits = self._settings.repository
        files = await self._step(key, State.VERIFYING, self._read(key), limits.load_s)
        await self._step(key, State.PROBING, self._dry_run(files), limits.load_s)
        return files

    async def open(self, key: Key, files: VerifiedFiles, same_shape_profile: Profile | None) -> OpenedVersion:
        """Open a verified version, warm it up and run its self-test.

        Args:
            same_shape_profile: of a loaded version of the same shape, if there is one.

        Raises:
            BundleRejected: with the reason.
        """
        if files.manifest.upstream:
            return await self._open_upstream(key, files)
        if self._settings.runtime.engine == "process":
            return await self._open_apart(key, files, same_shape_profile)
        limits = self._settings.repository
        opening = partial(load_tuned, files, self._settings, same_shape_profile=same_shape_profile)
        tuned = await self._step(key, State.LOADING, run_in_daemon_thread(opening, name="open"), limits.load_s)
        try:
            for state, proof in ((State.WARMING, warm_up), (State.SELF_TEST, self_test)):
                await self._step(
                    key, state, run_in_daemon_thread(partial(proof, tuned.model), name=state), limits.warm_up_s
                )
        except BaseException:
            tuned.model.backend.close()
            raise
        return opened_here(tuned, self._settings, self._clock)

    async def _open_upstream(self, key: Key, files: VerifiedFiles) -> OpenedVersion:
        """A server that is away is waited for, and the version is not ready meanwhile; a changed one is refused."""
        limits = self._settings.repository
        tokenizer = open_tokenizer(files.contents[TOKENIZER_FILE], files.manifest.input_format)
        backend, problem = open_upstream(files.manifest), None
        await self._step(key, State.LOADING, asyncio.sleep(0), limits.load_s)  # there are no weights, and
        await self._step(key, State.WARMING, asyncio.sleep(0), limits.warm_up_s)  # nothing of ours to warm up
        try:
            await self._step(
                key, State.SELF_TEST, run_in_daemon_thread(backend.check, name="upstream"), limits.warm_up_s
            )
        except UpstreamUnavailable as error:
            problem = error
        except UpstreamChanged as error:
            backend.close()
            raise BundleRejected(error.message, reason="selftest") from None
        version = UpstreamVersion(files.digest, files.manifest, tokenizer, backend, problem)
        return opened_upstream(version, self._settings, self._clock)

    async def _open_apart(self, key: Key, files: VerifiedFiles, profile: Profile | None) -> OpenedVersion:
        settings, limits, manifest = self._settings, self._settings.repository, files.manifest
        tokenizer = open_tokenizer(files.contents[TOKENIZER_FILE], manifest.input_format)
        start = EngineStart(version_directory(settings.store, *key), settings, profile)
        process = EngineProcess(largest_batch(manifest, settings))
        try:
            measured = await self._step(key, State.LOADING, start.open(process), limits.load_s)
            await self._step(key, State.WARMING, process.command("warm_up"), limits.warm_up_s)
            await self._step(key, State.SELF_TEST, process.command("self_test"), limits.warm_up_s)
            await process.command("serve", suspects=[])
        except BaseException:
            await process.gone()
            raise
        return opened_apart(
            manifest, files.digest, tokenizer, measured, settings, self._clock, process=process, again=start
        )

    async def _step(self, key: Key, state: State, work: Awaitable[T], limit_s: float) -> T:
        self._lifecycle.registry.move(key, state)
        started = self._clock()
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            raise BundleRejected(f"the step {state} did not end in {limit_s:g} s", reason="timeout") from None
        finally:
            self._metrics.model_load_seconds.labels(key[0], state).observe(self._clock() - started)

    async def _read(self, key: Key) -> VerifiedFiles:
        model, digest = key
        directory = version_directory(self._settings.store, model, digest)
        _, manifest = await run_in_daemon_thread(partial(read_manifest, directory), name="verify", nice=_NICE)
        if manifest.model != model:
            raise BundleRejected(f"the manifest belongs to model {manifest.model}", reason="parse")
        self._lifecycle.check_room(self.estimate(manifest))  # before its weights are read
        return await run_in_daemon_thread(partial(read_verified, directory), name="verify", nice=_NICE)

    async def _dry_run(self, files: VerifiedFiles) -> None:
        limits = self._settings.repository
        if not limits.dry_run or files.manifest.upstream:
            return
        longest_shape = self._settings.runtime.device == "cpu"
        dry_run = DryRun(DryRunLimits(limits.dry_run_s, limits.dry_run_memory_bytes, longest_shape))
        try:
            await run_in_daemon_thread(partial(dry_run.run, files), name="dry-run")
        finally:
            dry_run.stop()

    def estimate(self, manifest: Manifest) -> int:
        """Estimated bytes of memory of a loaded version, from the sizes of its files."""
        return int(self._settings.repository.resident_factor * sum(entry.size for entry in manifest.files))
