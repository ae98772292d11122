"""Which versions are loaded and which alias names which: all decisions, none of the work. Synchronous, no I/O.

`live.py` does the work: reads pointers, loads what `next` names, closes what is draining, publishes the snapshot.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.bundle.pointer import Pointer
from service.errors import BundleRejected
from service.versions.aliases import Aliases
from service.versions.states import RESIDENT, Book, Key, State

RETRIED_EACH_LOOK = frozenset({"io"})
"""A mount that comes back, a copy that was not finished."""
RETRIED_ANEW = frozenset({"resources", "timeout", "internal"})
"""What another day may allow: tried again when somebody writes the pointer."""
_MOST_REJECTED = 64
"""Refusals that are remembered of versions that no alias names any more."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What loaded versions may take together."""

    versions: int | None = None
    bytes: int | None = None
    keep: Mapping[str, int] = field(default_factory=dict)
    """How many former versions of these aliases stay loaded while there is room."""


class Lifecycle:
    """The decisions. Whoever calls a method that changes an alias calls `settle` after it."""

    def __init__(self, book: Book, budget: Budget) -> None:
        self.book = book
        self.aliases: dict[str, Aliases] = {}
        self._budget = budget
        self._held: dict[Key, int] = {}
        """Estimated bytes of what is being loaded, is loaded, or is being closed."""

    def resident(self, model: str) -> frozenset[str]:
        """Digests that could answer at once."""
        return frozenset(status.digest for status in self.book if status.model == model and status.state in RESIDENT)

    def point(self, model: str, pointer: Pointer) -> None:
        """Follow a pointer: discover what it names anew."""
        before = self.aliases.get(model, Aliases())
        self.aliases[model] = after = before.read(pointer)
        retried = RETRIED_EACH_LOOK | (RETRIED_ANEW if after is not before else frozenset())
        for digest in sorted(after.wanted):
            status = self.book.get((model, digest))
            if status is None or (status.state is State.REJECTED and status.reason in retried):
                self.book.move((model, digest), State.DISCOVERED)
        self._forget_refusals()

    def _forget_refusals(self) -> None:
        """A flood of broken versions must not fill the memory."""
        unnamed = [s.key for s in self.book if s.state is State.REJECTED and not self.wants(s.key)]
        for key in unnamed[: max(0, len(unnamed) - _MOST_REJECTED)]:
            self.book.move(key, State.RETIRED)

    def wants(self, key: Key) -> bool:
        """Whether an alias is, or should be, at this version."""
        return key[1] in self.aliases.get(key[0], Aliases()).wanted

    def next(self) -> Key | None:
        """The version to load next. What was named for a moment only is forgotten."""
        for status in self.book:
            if status.state is State.DISCOVERED:
                if self.wants(status.key):
                    return status.key
                self.book.move(status.key, State.RETIRED)
        return None

    def settle(self) -> None:
        """Move every alias that can move; release what nobody needs any more."""
        for model, aliases in self.aliases.items():
            resident = self.resident(model)
            self.aliases[model] = settled = aliases.settle(resident)
            loaded = {digest for digest in resident if self.book.state((model, digest)) is not State.DRAINING}
            spare = settled.spare(self._budget.keep, loaded)
            for digest in resident:
                self._place((model, digest), settled, spare=digest in spare)

    def _place(self, key: Key, aliases: Aliases, *, spare: bool) -> None:
        active = key[1] in aliases.served.values()
        needed = active or key[1] in aliases.wanted
        state = self.book.state(key)
        if state is State.DRAINING and needed:
            self.book.move(key, State.READY)
        if active and state is not State.ACTIVE:
            self.book.move(key, State.ACTIVE)
        if not active and state is State.ACTIVE:
            self.book.move(key, State.READY)
        if self.book.state(key) is State.READY and not needed and not spare:
            self.book.move(key, State.DRAINING)

    def roll_back(self, model: str, alias: str, *, cause: str) -> str:
        """Send an alias back to its latest former version that is loaded; returns its digest. Settles.

        Raises:
            RollbackImpossible.
        """
        aliases = self.aliases[model]
        digest = aliases.previous(alias, self.resident(model))
        left = aliases.served[alias]
        self.aliases[model] = aliases.hold(alias, digest)
        self.settle()
        self.book.note((model, left), reason=f"rolled_back:{cause}")
        return digest

    def _spares(self) -> list[Key]:
        """Loaded and needed only for going back; the oldest first."""
        return [status.key for status in self.book if status.state is State.READY and not self.wants(status.key)]

    def check_room(self, size: int) -> None:
        """Refuse what could not be held even if every spare version went.

        Raises:
            BundleRejected: reason `resources`.
        """
        going = {*self._spares(), *self._leaving()}
        staying = [held for key, held in self._held.items() if key not in going]
        if self._over(len(staying) + 1, sum(staying) + size):
            raise BundleRejected(
                f"it would take about {size >> 20} MiB beside {sum(staying) >> 20} MiB of {len(staying)} loaded "
                f"versions; raise repository.resident_bytes or resident_versions, or remove an alias",
                reason="resources",
            )

    def make_room(self, key: Key, size: int) -> bool:
        """Claim memory; spares go, oldest first, as far as it needs. Whether it is free now: draining takes time.

        Raises:
            BundleRejected: as `check_room`.
        """
        self._held.pop(key, None)
        self.check_room(size)
        spares, leaving = self._spares(), self._leaving()
        while True:
            staying = [held for other, held in self._held.items() if other not in leaving]
            if not self._over(len(staying) + 1, sum(staying) + size):
                break
            self.book.move(spares[0], State.DRAINING)
            leaving.add(spares.pop(0))
        if self._over(len(self._held) + 1, sum(self._held.values()) + size):
            return False
        self._held[key] = size
        return True

    def free(self, key: Key) -> None:
        """A version's memory is given back: it is closed, or never came to be loaded."""
        self._held.pop(key, None)

    def _leaving(self) -> set[Key]:
        return {key for key in self._held if self.book.state(key) in {State.DRAINING, None}}

    def _over(self, versions: int, size: int) -> bool:
        most, limit = self._budget.versions, self._budget.bytes
        return (most is not None and versions > most) or (limit is not None and size > limit)
