"""Decides which versions are loaded and which alias serves which. Synchronous, no I/O.

`live.py` reads the pointers; `residents.py` loads the version that `next` names, closes those that are draining, and
publishes the snapshot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.bundle.pointer import Pointer
from service.errors import BundleRejected
from service.versions.aliases import Aliases
from service.versions.states import RESIDENT, Key, State, VersionRegistry

RETRIED_EACH_POLL = frozenset({"io"})
"""A mount that comes back, a copy that was not finished."""
RETRIED_ON_POINTER_WRITE = frozenset({"resources", "timeout", "internal"})
"""Causes that may pass: tried again when the pointer is written."""
_MOST_REJECTED = 64
"""Remembered refusals of versions that no alias names any more."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of all loaded versions together."""

    versions: int | None = None
    bytes: int | None = None
    keep: Mapping[str, int] = field(default_factory=dict)
    """How many former versions of these aliases stay loaded while there is room."""


class Lifecycle:
    """The decisions. After a method that changes an alias, call `reconcile`; `roll_back` does so itself."""

    def __init__(self, registry: VersionRegistry, budget: Budget) -> None:
        self.registry = registry
        self.aliases: dict[str, Aliases] = {}
        self._budget = budget
        self._held: dict[Key, int] = {}
        """Estimated bytes of every version that is being loaded, is loaded, or is being closed."""

    def resident(self, model: str) -> frozenset[str]:
        """Digests that could answer at once."""
        return frozenset(
            status.digest for status in self.registry if status.model == model and status.state in RESIDENT
        )

    def apply_pointer(self, model: str, pointer: Pointer) -> None:
        """Take over a pointer: discover the versions that it names for the first time."""
        before = self.aliases.get(model, Aliases())
        self.aliases[model] = after = before.read(pointer)
        retried = RETRIED_EACH_POLL | (RETRIED_ON_POINTER_WRITE if after is not before else frozenset())
        for digest in sorted(after.wanted):
            status = self.registry.get((model, digest))
            if status is None or (status.state is State.REJECTED and status.reason in retried):
                self.registry.move((model, digest), State.DISCOVERED)
        self._forget_refusals()

    def _forget_refusals(self) -> None:
        """Keep the latest refusals only: a flood of broken versions must not fill the memory."""
        unnamed = [s.key for s in self.registry if s.state is State.REJECTED and not self.wants(s.key)]
        for key in unnamed[: max(0, len(unnamed) - _MOST_REJECTED)]:
            self.registry.move(key, State.RETIRED)

    def wants(self, key: Key) -> bool:
        """Whether the pointer, or an override, names this version."""
        return key[1] in self.aliases.get(key[0], Aliases()).wanted

    def next(self) -> Key | None:
        """The version to load next; one that no alias names any more is forgotten instead."""
        for status in self.registry:
            if status.state is State.DISCOVERED:
                if self.wants(status.key):
                    return status.key
                self.registry.move(status.key, State.RETIRED)
        return None

    def reconcile(self) -> None:
        """Move every alias that can move; drain versions that are not needed any more."""
        for model, aliases in self.aliases.items():
            resident = self.resident(model)
            self.aliases[model] = reconciled = aliases.reconcile(resident)
            # A draining version is no rollback target to count on: its memory is promised to another version.
            loaded = {digest for digest in resident if self.registry.state((model, digest)) is not State.DRAINING}
            retained = reconciled.retained_for_rollback(self._budget.keep, loaded)
            for digest in resident:
                self._update_state((model, digest), reconciled, retained=digest in retained)

    def _update_state(self, key: Key, aliases: Aliases, *, retained: bool) -> None:
        active = key[1] in aliases.served.values()
        # `wanted` too: the target of an alias that has not moved yet must not be drained meanwhile.
        needed = active or key[1] in aliases.wanted
        state = self.registry.state(key)
        if state is State.DRAINING and needed:
            self.registry.move(key, State.READY)
        if active and state is not State.ACTIVE:
            self.registry.move(key, State.ACTIVE)
        if not active and state is State.ACTIVE:
            self.registry.move(key, State.READY)
        if self.registry.state(key) is State.READY and not needed and not retained:
            self.registry.move(key, State.DRAINING)

    def roll_back(self, model: str, alias: str, *, cause: str) -> str:
        """Send an alias back to its latest former version that is loaded; returns its digest.

        Raises:
            RollbackImpossible.
        """
        aliases = self.aliases[model]
        digest = aliases.previous(alias, self.resident(model))
        left = aliases.served[alias]
        self.aliases[model] = aliases.pin_alias(alias, digest)
        self.reconcile()
        self.registry.note((model, left), reason=f"rolled_back:{cause}")
        return digest

    def _evictable(self) -> list[Key]:
        """Versions that are loaded for a rollback only; the oldest first."""
        return [status.key for status in self.registry if status.state is State.READY and not self.wants(status.key)]

    def check_room(self, size: int) -> None:
        """Refuse a version for which there is no room even if every evictable version is closed.

        Raises:
            BundleRejected: reason `resources`.
        """
        going = {*self._evictable(), *self._leaving()}
        staying = [held for key, held in self._held.items() if key not in going]
        if self._over(len(staying) + 1, sum(staying) + size):
            raise BundleRejected(
                f"it would take about {size >> 20} MiB beside {sum(staying) >> 20} MiB of {len(staying)} loaded "
                f"versions; raise repository.resident_bytes or resident_versions, or remove an alias",
                reason="resources",
            )

    def make_room(self, key: Key, size: int) -> bool:
        """Claim memory, draining evictable versions, oldest first, until it suffices.

        Returns:
            Whether the memory is free now: draining takes time. If not, call again when a version was closed.

        Raises:
            BundleRejected: as `check_room`.
        """
        self._held.pop(key, None)
        self.check_room(size)
        evictable, leaving = self._evictable(), self._leaving()
        # Two bounds: versions that drain do not count for how many more to evict, but still hold their memory below.
        while True:
            staying = [held for other, held in self._held.items() if other not in leaving]
            if not self._over(len(staying) + 1, sum(staying) + size):
                break
            self.registry.move(evictable[0], State.DRAINING)
            leaving.add(evictable.pop(0))
        if self._over(len(self._held) + 1, sum(self._held.values()) + size):
            return False
        self._held[key] = size
        return True

    def free(self, key: Key) -> None:
        """Give back the memory of a version that was closed, or was never loaded."""
        self._held.pop(key, None)

    def _leaving(self) -> set[Key]:
        return {key for key in self._held if self.registry.state(key) in {State.DRAINING, None}}

    def _over(self, versions: int, size: int) -> bool:
        most, limit = self._budget.versions, self._budget.bytes
        return (most is not None and versions > most) or (limit is not None and size > limit)
