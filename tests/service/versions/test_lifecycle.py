"""Any order of publishing, moving, rolling back, failing and restarting: the decisions against a small model."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.bundle.pointer import Pointer
from service.errors import BundleRejected, RollbackImpossible
from service.versions.lifecycle import Budget, Lifecycle
from service.versions.states import LEGAL, RESIDENT, STEPS, State, VersionRegistry, VersionStatus

MODEL = "m"


def digest(number: int) -> str:
    return f"{number:064x}"


def lifecycle(budget: Budget | None = None, moved: Callable[[Any, Any], None] = lambda *_: None) -> Lifecycle:
    return Lifecycle(VersionRegistry(lambda: 0.0, moved), budget or Budget(keep={"stable": 1}))


def point(target: Lifecycle, generation: int, **aliases: int) -> None:
    """The pointer says so; what is loaded follows."""
    named = {alias: digest(number) for alias, number in aliases.items()}
    target.apply_pointer(MODEL, Pointer(generation=generation, aliases=named))
    target.reconcile()


def load(target: Lifecycle, *, bad: str | None = None, size: int = 1) -> str | None:
    """Take the next candidate through its steps; the digest, or None if there is none."""
    if (key := target.next()) is None:
        return None
    for state in STEPS:
        target.registry.move(key, state)
        if state is State.LOADING:
            assert target.make_room(key, size)
        if bad and state is State.PROBING:
            target.registry.move(key, State.REJECTED, reason=bad, message="it is bad")
            target.reconcile()
            return key[1]
    target.registry.move(key, State.READY)
    target.reconcile()
    return key[1]


def served(target: Lifecycle) -> dict[str, int]:
    return {alias: int(name, 16) for alias, name in target.aliases[MODEL].served.items()}


def drain(target: Lifecycle) -> None:
    """The last requests of what drains are done."""
    for status in target.registry:
        if status.state is State.DRAINING:
            target.registry.move(status.key, State.RETIRED)
            target.free(status.key)


def states(target: Lifecycle) -> dict[int, str]:
    return {int(status.digest, 16): status.state for status in target.registry}


def test_only_legal_steps() -> None:
    """From each state each step that is not in the table is an error, and changes nothing."""
    paths: dict[State, list[State]] = {State.DISCOVERED: [State.DISCOVERED]}
    while len(paths) < len(State):
        for before, path in list(paths.items()):
            for after in LEGAL[before]:
                paths.setdefault(after, [*path, after])
    for before, after in product(State, State):
        if before is State.RETIRED:
            continue  # forgotten
        registry = VersionRegistry(lambda: 0.0, lambda *_: None)
        for state in paths[before]:
            registry.move((MODEL, "d"), state)
        if after in LEGAL[before]:
            registry.move((MODEL, "d"), after)
        else:
            with pytest.raises(ValueError, match=f"-> {after}"):
                registry.move((MODEL, "d"), after)
            assert registry.state((MODEL, "d")) is before
    with pytest.raises(ValueError, match="None -> ready"):
        VersionRegistry(lambda: 0.0, lambda *_: None).move((MODEL, "d"), State.READY)


def test_a_new_version_and_back() -> None:
    """The former version stays, the one before it goes; going back is at once, and twice is too often."""
    target = lifecycle()
    for number in (1, 2, 3):
        point(target, number, stable=number)
        load(target)
    assert states(target) == {1: "draining", 2: "ready", 3: "active"}
    drain(target)
    assert target.roll_back(MODEL, "stable", cause="test") == digest(2)
    assert states(target) == {2: "active", 3: "ready"}
    status = target.registry.get((MODEL, digest(3)))
    assert status is not None
    assert status.reason == "rolled_back:test"
    with pytest.raises(RollbackImpossible):
        target.roll_back(MODEL, "stable", cause="test")
    point(target, 3, stable=3)
    assert served(target) == {"stable": 2}, "the same pointer, read again, brings nothing back"
    point(target, 4, stable=3)
    assert served(target) == {"stable": 3}, "the same aliases, written again, are a decision"


def test_a_pointer_about_something_else_keeps_a_rollback() -> None:
    """A new candidate does not bring back a stable version that was taken back; a decision about `stable` does."""
    target = lifecycle()
    for number in (1, 2):
        point(target, number, stable=number)
        load(target)
    target.roll_back(MODEL, "stable", cause="test")
    point(target, 3, stable=2, candidate=3)
    load(target)
    assert served(target) == {"stable": 1, "candidate": 3}
    point(target, 4, stable=3, candidate=3)
    assert served(target) == {"stable": 3, "candidate": 3}


@pytest.mark.parametrize(("reason", "after_look", "after_write"), [
    ("digest", "rejected", "rejected"), ("crash", "rejected", "rejected"), ("io", "discovered", "discovered"),
    ("resources", "rejected", "discovered"), ("timeout", "rejected", "discovered"),
])  # fmt: skip
def test_what_is_tried_again(reason: str, after_look: str, after_write: str) -> None:
    """A refusal is for good, unless its cause may have gone; until it loads its reason can be read."""
    target = lifecycle()
    point(target, 1, stable=1)
    load(target, bad=reason)
    point(target, 1, stable=1)
    assert states(target) == {1: after_look}
    point(target, 2, stable=1)
    assert states(target) == {1: after_write}
    status = target.registry.get((MODEL, digest(1)))
    assert status is not None
    assert (status.reason, status.message) == (reason, "it is bad")


def test_a_flood_of_broken_versions_is_forgotten() -> None:
    """A thousand refusals take no more memory than some."""
    target = lifecycle()
    for number in range(1, 300):
        point(target, number, stable=number)
        load(target, bad="digest")
    assert len(list(target.registry)) < 70
    assert states(target)[299] == "rejected"


def test_what_nobody_wants_any_more_is_not_loaded() -> None:
    """Named for a moment only: forgotten, and loaded when it is named again."""
    target = lifecycle()
    point(target, 1, stable=1)
    point(target, 2, stable=2)
    assert load(target) == digest(2)
    assert states(target) == {2: "active"}
    point(target, 3, stable=1)
    assert load(target) == digest(1)


def test_wanted_again_while_it_drains() -> None:
    """It never left."""
    target = lifecycle(Budget())
    point(target, 1, stable=1)
    load(target)
    point(target, 2, stable=2)
    load(target)
    assert states(target) == {1: "draining", 2: "active"}
    point(target, 3, stable=1)
    assert states(target) == {1: "active", 2: "draining"}


@pytest.mark.parametrize("budget", [Budget(versions=2, keep={"stable": 2}), Budget(bytes=20, keep={"stable": 2})])
def test_room(budget: Budget) -> None:
    """A candidate takes the place of spare versions, the oldest first; never of one that an alias names."""
    target = lifecycle(budget)
    for number in (1, 2):
        point(target, number, stable=number)
        load(target, size=10)
    assert states(target) == {1: "ready", 2: "active"}
    point(target, 3, stable=2, candidate=3)
    key = target.next()
    assert key is not None
    assert not target.make_room(key, 10), "the spare one is not closed yet"
    target.reconcile()
    assert states(target) == {1: "draining", 2: "active", 3: "discovered"}
    drain(target)
    load(target, size=10)
    assert states(target) == {2: "active", 3: "active"}
    with pytest.raises(BundleRejected, match="2 loaded versions") as refused:
        target.check_room(10)
    assert refused.value.reason == "resources"


class Interleaving(RuleBasedStateMachine):
    """B8: any order of events. The reference: a good version that is wanted gets loaded, and an alias is where it was
    last sent, if that version is loaded, else where it was before."""

    numbers = st.integers(1, 6)
    aliases = st.sampled_from(["stable", "candidate"])

    @initialize()
    def start(self) -> None:
        self.generation = 0
        self.pointer: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.expected: dict[str, int] = {}
        self.bad: set[int] = set()
        self.restart()

    @rule()
    def restart(self) -> None:
        """A crash: only the store remains."""
        self.moves: list[tuple[VersionStatus | None, VersionStatus]] = []
        self.target = lifecycle(moved=lambda before, after: self.moves.append((before, after)))
        self.expected, self.sent = {}, dict(self.pointer)
        self.held: dict[str, int] = {}
        self.seen = 0
        if self.pointer:
            self.tick()

    def write(self) -> None:
        self.generation += 1

    @rule(number=numbers, alias=aliases)
    def publish(self, number: int, alias: str) -> None:
        self.pointer[alias] = number
        self.write()

    @rule(number=numbers, alias=aliases)
    def publish_bad(self, number: int, alias: str) -> None:
        if self.target.registry.state((MODEL, digest(number))) not in RESIDENT:
            self.bad.add(number)
        self.publish(number, alias)

    @precondition(lambda self: "candidate" in self.pointer)
    @rule()
    def retire(self) -> None:
        del self.pointer["candidate"]
        self.write()

    @precondition(lambda self: self.pointer)
    @rule()
    def tick(self) -> None:
        """A look at the store, and everything that follows from it."""
        if self.generation != self.seen:
            again = self.pointer == self.sent
            self.held = {a: n for a, n in self.held.items() if not again and self.pointer.get(a) == self.sent.get(a)}
            self.sent, self.seen = dict(self.pointer), self.generation
        point(self.target, self.generation, **self.pointer)
        self.settle_expected()
        while (key := self.target.next()) is not None:
            load(self.target, bad="digest" if int(key[1], 16) in self.bad else None)
            self.settle_expected()

    @rule()
    def drained(self) -> None:
        drain(self.target)

    @precondition(lambda self: self.target.aliases)
    @rule(alias=aliases)
    def roll_back(self, alias: str) -> None:
        before = self.expected.get(alias)
        try:
            number = int(self.target.roll_back(MODEL, alias, cause="test"), 16)
        except RollbackImpossible:
            return
        assert number != before
        self.held[alias] = number
        self.settle_expected()

    def settle_expected(self) -> None:
        resident = {int(name, 16) for name in self.target.resident(MODEL)}
        targets = self.sent | self.held
        kept = {alias: number for alias, number in self.expected.items() if alias in targets}
        self.expected = kept | {alias: number for alias, number in targets.items() if number in resident}

    @invariant()
    def aliases_are_where_they_were_sent(self) -> None:
        if self.target.aliases:
            assert served(self.target) == self.expected

    @invariant()
    def active_is_what_is_served(self) -> None:
        active = {number for number, state in states(self.target).items() if state == "active"}
        assert active == set(self.expected.values())

    @invariant()
    def nothing_bad_is_loaded(self) -> None:
        assert not {int(name, 16) for name in self.target.resident(MODEL)} & self.bad

    @invariant()
    def at_most_one_retained_for_rollback(self) -> None:
        named = set(self.expected.values()) | set(self.sent.values()) | set(self.held.values())
        spare = {number for number, state in states(self.target).items() if state == "ready"} - named
        assert len(spare) <= 1

    @invariant()
    def every_step_was_legal(self) -> None:
        for before, after in self.moves:
            assert after.state in (LEGAL[before.state] if before else {State.DISCOVERED})


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=150, stateful_step_count=40)
