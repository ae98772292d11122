"""Moves aliases in the store, for a service that is configured as its writer.

It writes the pointer, so a change survives restarts and reaches the other replicas at their next poll; this replica
follows before it answers.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.bundle.pointer import Pointer, read_pointer
from service.bundle.pointer_writer import find_version, former_version, roll_back, set_aliases, writer
from service.domain import MODEL_NAME_PATTERN
from service.errors import MalformedRequest, RollbackImpossible, UnknownModel, VersionNotReady, WritesDisabled
from service.settings import Settings
from service.versions.live import Live

Change = Callable[[Path, Pointer], Pointer]


@dataclass(frozen=True, slots=True)
class Moved:
    """A change of an alias: its version before and after."""

    alias: str
    before: str | None
    after: str | None
    generation: int


class Admin:
    """Writes pointers, one change at a time, and makes this replica follow."""

    def __init__(self, live: Live, settings: Settings) -> None:
        self._live = live
        self._store = settings.store
        self._writes = settings.repository.writer
        self._one_at_a_time = asyncio.Lock()

    async def move(self, model: str, alias: str, version: str) -> Moved:
        """Point an alias at a loaded version, named by digest, first digits or another alias.

        Raises:
            WritesDisabled, UnknownModel, VersionNotReady, StoreBusy, PublishError, BundleRejected.
        """

        def change(directory: Path, _: Pointer) -> Pointer:
            digest = find_version(directory, version)
            self._check_ready(model, digest)
            return set_aliases(directory, {alias: digest})

        return await self._apply(model, alias, change)

    async def remove(self, model: str, alias: str) -> Moved:
        """Take an alias away; raises as `move`."""

        def change(directory: Path, before: Pointer) -> Pointer:
            if alias not in before.aliases:
                raise UnknownModel(f"model {model} has no such alias", param="alias")
            return set_aliases(directory, {alias: None})

        return await self._apply(model, alias, change)

    async def roll_back(self, model: str, alias: str) -> Moved:
        """Point an alias at the version that it named before; raises as `move`, and RollbackImpossible."""

        def change(directory: Path, before: Pointer) -> Pointer:
            if alias not in before.aliases:
                raise UnknownModel(f"model {model} has no such alias", param="alias")
            if (former := former_version(before, alias)) is None:
                raise RollbackImpossible("no earlier version of this alias is known", param="alias")
            self._check_ready(model, former)
            return roll_back(directory, alias)

        return await self._apply(model, alias, change)

    async def _apply(self, model: str, alias: str, change: Change) -> Moved:
        if not self._writes:
            raise WritesDisabled(
                "this server only reads its store: move aliases with `plurality alias` where the store can be written, "
                "or start the server with repository.writer=true"
            )
        if re.fullmatch(MODEL_NAME_PATTERN, alias) is None:
            raise MalformedRequest("an alias is lower case, digits, . _ - (at most 64)", param="alias")
        async with self._one_at_a_time:
            moved = await asyncio.to_thread(self._write, model, alias, change)
            await self._live.poll_store()
        return moved

    def _write(self, model: str, alias: str, change: Change) -> Moved:
        if re.fullmatch(MODEL_NAME_PATTERN, model) is None:
            raise UnknownModel("the store has no such model", param="model")
        with writer(self._store, model, new=False) as directory:
            before = read_pointer(directory)
            after = change(directory, before)
        return Moved(alias, before.aliases.get(alias), after.aliases.get(alias), after.generation)

    def _check_ready(self, model: str, digest: str) -> None:
        loaded = self._live.snapshot.resident.get(digest)
        if loaded is None or loaded.manifest.model != model:
            raise VersionNotReady(
                f"version {digest[:12]} is not loaded here, so it could not answer at once; have it loaded first "
                "under another alias with `plurality alias set`, or go back with `plurality rollback` at the store",
                param="version",
            )
