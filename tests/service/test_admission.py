"""The gate: exact bounds, synchronous, nothing lost."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.admission import Gate, Permit
from service.errors import MAX_RETRY_AFTER_S, Draining, Overloaded, TooManyItems
from tests.fakes import ManualClock


def gate(*, items: int = 4, tokens: int = 100, clock: ManualClock | None = None) -> Gate:
    return Gate(max_items=items, max_tokens=tokens, clock=clock or ManualClock())


def test_exact_at_the_edge() -> None:
    """The bound itself fits; one more does not, and names what is full."""
    door = gate()
    with door.enter(items=4, tokens=100):
        with pytest.raises(Overloaded) as items:
            door.enter(items=1, tokens=0)
        assert items.value.reason == "queue_items"
    with door.enter(items=1, tokens=100):
        with pytest.raises(Overloaded) as tokens:
            door.enter(items=1, tokens=1)
        assert tokens.value.reason == "queue_tokens"
    assert (door.items, door.tokens) == (0, 0)


def test_what_could_never_fit_is_the_callers_fault() -> None:
    """A request larger than the whole gate is not told to come back later."""
    with pytest.raises(TooManyItems):
        gate().enter(items=5, tokens=1)
    with pytest.raises(TooManyItems):
        gate().enter(items=1, tokens=101)


def test_closed() -> None:
    """A closed gate lets nobody in; what is inside may leave."""
    door = gate()
    permit = door.enter(items=1, tokens=1)
    door.close()
    with pytest.raises(Draining):
        door.enter(items=1, tokens=1)
    with permit:
        pass
    assert door.items == 0


def test_permit_only_shrinks() -> None:
    """A reservation can give room back, never take more."""
    door = gate()
    with door.enter(items=1, tokens=50) as permit:
        permit.shrink(20)
        assert door.tokens == 20
        with pytest.raises(ValueError, match="only shrink"):
            permit.shrink(21)
    assert door.tokens == 0


def test_retry_after_follows_the_measured_rate() -> None:
    """Half of 1000 tokens at about 50 a second is 10 s; unknown rate says 1 s; never more than the cap."""
    clock = ManualClock()
    door = gate(items=10, tokens=1000, clock=clock)
    assert _retry_after(door) == 1
    with door.enter(items=1, tokens=500):
        pass
    assert _retry_after(door) == 10
    clock.now += 1000.0
    assert _retry_after(door) == MAX_RETRY_AFTER_S
    clock.now += 6200.0
    assert _retry_after(door) == MAX_RETRY_AFTER_S, "the rate is almost nothing: the time is no finite float"


def _retry_after(door: Gate) -> int:
    permit = door.enter(items=1, tokens=1000)
    with pytest.raises(Overloaded) as full:
        door.enter(items=1, tokens=1)
    door.release(permit.items, permit.tokens)
    return full.value.retry_after_s


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 60), st.booleans()), max_size=40))
def test_never_over_the_bounds(steps: list[tuple[int, int, bool]]) -> None:
    """I2, I9: whatever comes and goes, the sums stay within the bounds and return to zero."""
    door = gate(items=10, tokens=100)
    inside: list[Permit] = []
    for items, tokens, leave in steps:
        if leave and inside:
            with inside.pop(0):
                pass
        with suppress(Overloaded):
            inside.append(door.enter(items=items, tokens=tokens))
        assert 0 <= door.items <= 10
        assert 0 <= door.tokens <= 100
        assert door.items == sum(permit.items for permit in inside)
    for permit in inside:
        with permit:
            pass
    assert (door.items, door.tokens) == (0, 0)
