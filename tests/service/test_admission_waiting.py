"""Waiting at the gate: in order of arrival, nothing lost, nobody overtaken, whoever leaves makes way."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.admission import Gate, Permit
from service.errors import Draining, Overloaded, TooManyItems
from tests.fakes import ManualClock

FAR = 1e9


def gate(*, items: int = 4, max_waiting: int = 8) -> Gate:
    return Gate(max_items=items, max_tokens=1000, clock=ManualClock(), max_waiting=max_waiting)


def waiting(door: Gate, items: int) -> asyncio.Task[Permit]:
    return asyncio.create_task(door.enter_when_free(items=items, tokens=items, deadline=FAR))


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(bounded())


def test_in_order_of_arrival() -> None:
    """A large request at the front is not starved by small ones that would fit, blocking or not."""

    async def story() -> None:
        door = gate()
        inside = door.enter(items=2, tokens=2)
        large, small = waiting(door, 4), waiting(door, 1)
        await settle()
        assert door.waiting == 2
        with pytest.raises(Overloaded):
            door.enter(items=1, tokens=1)
        with inside:
            pass
        await settle()
        assert (large.done(), small.done()) == (True, False)
        with large.result():
            pass
        await settle()
        with small.result():
            assert door.items == 1
        assert (door.items, door.tokens, door.waiting) == (0, 0, 0)

    run(story)


def test_leaving_makes_way() -> None:
    """The one at the front gives up: the next one gets in at once."""

    async def story() -> None:
        door = gate()
        inside = door.enter(items=2, tokens=2)
        large, small = waiting(door, 4), waiting(door, 1)
        await settle()
        large.cancel()
        await settle()
        assert small.done()
        with inside, small.result():
            assert door.items == 3
        assert door.items == 0

    run(story)


def test_granted_in_the_moment_of_leaving() -> None:
    """Room that was granted to one who is cancelled in the same moment is given back."""

    async def story() -> None:
        door = gate()
        inside = door.enter(items=4, tokens=4)
        first, second = waiting(door, 4), waiting(door, 4)
        await settle()
        with inside:
            pass
        first.cancel()
        await settle()
        assert (first.cancelled(), second.done()) == (True, True)
        with second.result():
            assert door.items == 4
        assert (door.items, door.tokens) == (0, 0)

    run(story)


def test_closing_in_the_moment_of_leaving() -> None:
    """Who has just given up is not told twice; who still waits is."""

    async def story() -> None:
        door = gate()
        with door.enter(items=4, tokens=4):
            leaving, staying = waiting(door, 1), waiting(door, 1)
            await settle()
            leaving.cancel()
            door.close()
            with pytest.raises(Draining):
                await staying
            await settle()
            assert leaving.cancelled()
        assert (door.items, door.waiting) == (0, 0)

    run(story)


def test_bounds() -> None:
    """What could never fit is refused at once; so is one more than may wait; a deadline in the past does not wait."""

    async def story() -> None:
        door = gate(max_waiting=1)
        with pytest.raises(TooManyItems):
            await door.enter_when_free(items=5, tokens=1, deadline=FAR)
        with door.enter(items=4, tokens=4):
            with pytest.raises(Overloaded) as late:
                await door.enter_when_free(items=1, tokens=1, deadline=0.0)
            assert late.value.reason == "blocked"
            waiter = waiting(door, 1)
            await settle()
            with pytest.raises(Overloaded):
                await door.enter_when_free(items=1, tokens=1, deadline=FAR)
            door.close()
            with pytest.raises(Draining):
                await waiter
        assert (door.items, door.waiting) == (0, 0)

    run(story)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["stay", "cancel"])), max_size=12))
def test_nothing_is_lost(visits: list[tuple[int, str]]) -> None:
    """Whoever comes, waits, enters, leaves or gives up: the bound holds all the time, and in the end all is free."""

    async def story() -> None:
        door = gate(max_waiting=99)
        tasks = [(waiting(door, items), fate) for items, fate in visits]
        await settle()
        for task, fate in tasks:
            if fate == "cancel" and not task.done():
                task.cancel()
        for task, _ in tasks:
            await settle()
            assert door.items <= 4
            if not task.cancelled():
                with await task:
                    pass
        await settle()
        assert (door.items, door.tokens, door.waiting) == (0, 0, 0)

    run(story)
