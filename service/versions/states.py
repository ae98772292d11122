"""The states of a version, and which may follow which. Pure: no I/O, no clock.

DISCOVERED -> VERIFYING -> PROBING -> LOADING -> WARMING -> SELF_TEST -> READY <-> ACTIVE -> DRAINING -> RETIRED;
any step up to the self-test may end in REJECTED, which stays until the reason may have gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

Key = tuple[str, str]
"""(model, digest)."""


class State(StrEnum):
    """The state of a version in this process."""

    DISCOVERED = "discovered"
    """A pointer names it; none of its files was read yet."""
    VERIFYING = "verifying"
    PROBING = "probing"
    """Its dry run, in a child process."""
    LOADING = "loading"
    WARMING = "warming"
    SELF_TEST = "self_test"
    READY = "ready"
    """Loaded, and no alias names it."""
    ACTIVE = "active"
    """An alias names it."""
    DRAINING = "draining"
    """Only requests that are pinned to it still need it."""
    RETIRED = "retired"
    REJECTED = "rejected"


STEPS = (State.VERIFYING, State.PROBING, State.LOADING, State.WARMING, State.SELF_TEST)
"""The steps of loading a candidate, in order; the time of each is a metric."""
RESIDENT = frozenset({State.READY, State.ACTIVE, State.DRAINING})
"""States in which a version holds an engine and answers requests that are pinned to it."""
LEGAL: dict[State, frozenset[State]] = {
    State.DISCOVERED: frozenset({State.VERIFYING, State.RETIRED}),
    State.VERIFYING: frozenset({State.PROBING, State.REJECTED}),
    State.PROBING: frozenset({State.LOADING, State.REJECTED}),
    State.LOADING: frozenset({State.WARMING, State.REJECTED}),
    State.WARMING: frozenset({State.SELF_TEST, State.REJECTED}),
    State.SELF_TEST: frozenset({State.READY, State.REJECTED}),
    State.READY: frozenset({State.ACTIVE, State.DRAINING}),
    State.ACTIVE: frozenset({State.READY}),
    # Wanted again while its last requests finish: its engine is still open.
    State.DRAINING: frozenset({State.READY, State.RETIRED}),
    State.REJECTED: frozenset({State.DISCOVERED, State.RETIRED}),
    State.RETIRED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version as `/rm/v1/models` shows it."""

    model: str
    digest: str
    state: State
    since: float
    """Seconds since the epoch."""
    reason: str | None = None
    """Of a refusal, one of a closed set; of a version that was rolled back, its cause."""
    message: str | None = None

    @property
    def key(self) -> Key:
        return self.model, self.digest


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a version, or a whole pointer, is not served."""

    model: str
    digest: str | None
    reason: str
    message: str


class VersionRegistry:
    """Holds the state of every known version; a retired one is forgotten."""

    def __init__(
        self, clock: Callable[[], float], on_move: Callable[[VersionStatus | None, VersionStatus], None]
    ) -> None:
        self._clock = clock
        self._on_move = on_move
        self._known: dict[Key, VersionStatus] = {}

    def __iter__(self) -> Iterator[VersionStatus]:
        """Every known version, in the order in which each reached its state."""
        return iter(tuple(self._known.values()))

    def get(self, key: Key) -> VersionStatus | None:
        return self._known.get(key)

    def state(self, key: Key) -> State | None:
        """None: unknown, or retired."""
        return status.state if (status := self._known.get(key)) else None

    def move(self, key: Key, to: State, *, reason: str | None = None, message: str | None = None) -> None:
        """Move a version to its next state. While it is tried again it keeps the reason of its last refusal.

        Raises:
            ValueError: the step is not in `LEGAL`: a mistake in this program.
        """
        before = self._known.get(key)
        legal = LEGAL[before.state] if before else {State.DISCOVERED}
        if to not in legal:
            raise ValueError(f"{key[0]}@{key[1][:12]}: {before.state if before else None} -> {to}")
        if before and reason is None and to not in RESIDENT:
            reason, message = before.reason, before.message
        after = VersionStatus(*key, to, self._clock(), reason, message)
        self._known.pop(key, None)
        if to is not State.RETIRED:
            self._known[key] = after
        self._on_move(before, after)

    def note(self, key: Key, *, reason: str) -> None:
        """Record why a version that could serve does not; its state does not change."""
        status = self._known[key]
        self._known[key] = VersionStatus(*key, status.state, status.since, reason, status.message)
