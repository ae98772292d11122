"""Copies a remote store into a folder and keeps it up to date; `live.py` reads the folder as any other store.

Pointers are followed at every poll, versions are fetched one at a time beside that. An alias moves in the copy only
when its version is there as a whole, with digests checked; until then it stays. Without the remote, the copy serves.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

from plurality.core.errors import ConfigurationError
from service.bundle.files import make_visible
from service.bundle.gc import collect, find_collectable
from service.bundle.pointer import Pointer
from service.bundle.pointer_writer import current_pointer, is_version, next_pointer, put_pointer, writer
from service.bundle.remote import RemoteStore, RemoteUnavailable
from service.bundle.store import VERSIONS, version_directory
from service.errors import BundleRejected, PublishError
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST, Metrics

_INCOMING = ".incoming"
_LEFTOVER_S = 24 * 3600.0
_GRACE_S = 3600.0
_RETRY_S = 60.0
Key = tuple[str, str]
"""(model, digest)."""


class Mirror:
    """Follows a remote store into a folder."""

    def __init__(self, url: str, folder: Path, metrics: Metrics, *, period_s: float) -> None:
        """Raises ConfigurationError: the URL cannot be used, or the folder cannot be written."""
        self._remote, self._folder, self._metrics, self._period_s = RemoteStore(url), folder, metrics, period_s
        self._log = get_logger(__name__)
        self._pointers: dict[str, Pointer] = {}
        self._followed: dict[str, int] = {}
        """Generation of the remote pointer that the copy's is whole for."""
        self._not_before: dict[Key, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._fetching: asyncio.Task[None] | None = None
        self._stopped = False
        self._problem: str | None = None
        try:
            (folder / _INCOMING).mkdir(parents=True, exist_ok=True)
            for path in (folder / _INCOMING).iterdir():
                if time.time() - path.stat().st_mtime > _LEFTOVER_S:
                    rmtree(path, ignore_errors=True)
        except OSError as error:
            raise ConfigurationError(f"cache_dir: {folder}: {error.strerror}", param="cache_dir") from None

    def problem(self) -> str | None:
        """The error of the last poll of the remote store; None: it worked."""
        return self._problem

    async def open(self) -> None:
        """Copy the versions that are named now, then keep polling. Without the remote, the copy serves as it is."""
        await self.poll()
        if self._fetching:
            await asyncio.wait({self._fetching})
        self._tasks.append(asyncio.create_task(self._watch(), name="mirror"))

    async def aclose(self) -> None:
        """Stop polling; a copy in progress ends at its next chunk."""
        self._stopped = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *([self._fetching] if self._fetching else []), return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._period_s)
            try:
                await self.poll()
            except Exception as error:  # noqa: BLE001 - following goes on, what is copied serves
                self._log.error("mirror_failed", error=type(error).__name__)

    async def poll(self) -> None:
        """Poll the remote once; start to fetch missing versions."""
        try:
            found = await asyncio.to_thread(self._remote.pointers)
        except (RemoteUnavailable, FileNotFoundError) as error:
            self._note(f"the remote store cannot be read: {error if str(error) else type(error).__name__}")
            return
        self._note(None)
        for model, pointer in found.items():
            if isinstance(pointer, BundleRejected):
                self._refuse((model, "pointer"), pointer)
            else:
                self._pointers[model] = pointer
        if await asyncio.to_thread(self._follow_all) and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.create_task(self._fetch_all(), name="mirror-fetch")

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            self._log.log(40 if problem else 20, "remote_store", problem=problem)
        self._problem = problem

    async def _fetch_all(self) -> None:
        """Fetch one version after the other until none is missing, or the missing ones have just failed."""
        while missing := await asyncio.to_thread(self._follow_all):
            await asyncio.to_thread(self._fetch, missing[0])

    def _follow_all(self) -> list[Key]:
        """Update the copy's pointers with the versions that are copied; returns those to fetch now."""
        missing = {key for model, pointer in self._pointers.items() for key in self._follow(model, pointer)}
        now = time.monotonic()
        return [] if self._stopped else sorted(key for key in missing if self._not_before.get(key, now) <= now)

    def _follow(self, model: str, pointer: Pointer) -> set[Key]:
        absent = {
            digest
            for digest in pointer.aliases.values()
            if not is_version(version_directory(self._folder, model, digest))
        }
        if not absent and self._followed.get(model) == pointer.generation:
            return set()
        try:
            with writer(self._folder, model) as directory:
                before = current_pointer(directory)
                aliases = at_hand(pointer.aliases, before.aliases if before else {}, absent)
                if not absent or (aliases and (before is None or aliases != before.aliases)):
                    put_pointer(directory, next_pointer(before, aliases, pointer.history))
                if not absent:
                    self._followed[model] = pointer.generation
                    old = find_collectable(directory, newest=0, grace_s=_GRACE_S, now=time.time())
                    collect(directory, old)
        except (PublishError, BundleRejected) as error:
            # Another process copies into the same folder, or the disk is full: the next poll tries again.
            self._log.warning("mirror_not_followed", model=model, message=error.message)
        return {(model, digest) for digest in absent}

    def _fetch(self, key: Key) -> None:
        model, digest = key
        folder = self._folder / _INCOMING / uuid.uuid4().hex
        started = time.monotonic()
        try:
            folder.mkdir()
            self._remote.fetch(model, digest, folder, wanted=lambda: not self._stopped)
            target = version_directory(self._folder, model, digest)
            with writer(self._folder, model) as directory:
                if not (directory / VERSIONS / digest).exists():
                    make_visible(folder, target)
            seconds = round(time.monotonic() - started, 2)
            self._log.info("version_copied", model=model, version=digest[:SHORT_DIGEST], seconds=seconds)
        except (BundleRejected, PublishError) as error:
            self._refuse(key, error)
        except (RemoteUnavailable, OSError) as error:
            self._refuse(key, BundleRejected(f"{type(error).__name__}: {error}", reason="io"))
        finally:
            rmtree(folder, ignore_errors=True)

    def _refuse(self, key: Key, error: BundleRejected | PublishError) -> None:
        """Log and count a failure, and retry it later; the alias stays at the version that the copy has."""
        model, digest = key
        if self._not_before.get(key, 0.0) > time.monotonic():
            return
        self._not_before[key] = time.monotonic() + _RETRY_S
        reason = error.reason if isinstance(error, BundleRejected) else "io"
        self._metrics.model_load_failures.labels(model, reason).inc()
        self._log.error(
            "version_not_copied", model=model, version=digest[:SHORT_DIGEST], reason=reason, message=error.message
        )


def at_hand(wanted: Mapping[str, str], before: Mapping[str, str], absent: set[str]) -> dict[str, str]:
    """Each alias's desired version if it is copied, else its previous version."""
    there = {alias: digest for alias, digest in wanted.items() if digest not in absent}
    return there | {alias: before[alias] for alias in wanted if alias not in there and alias in before}
