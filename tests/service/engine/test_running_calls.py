"""The table of running calls: two mappings of one memory, as two processes have them."""

import os
from collections.abc import Iterator

import pytest

from service.engine.running_calls import RunningCall, RunningCalls, digest_of
from tests.fakes import encoding


@pytest.fixture
def tables() -> Iterator[tuple[RunningCalls, RunningCalls]]:
    """The engine's and the service's view of a table for calls of at most three items."""
    descriptor = RunningCalls.create(3)
    engine, service = RunningCalls(descriptor, 3), RunningCalls(descriptor, 3)
    os.close(descriptor)
    yield engine, service
    engine.close()
    service.close()


def test_what_runs_is_seen_from_the_other_side(tables: tuple[RunningCalls, RunningCalls]) -> None:
    """Each call from its beginning to its end, with its texts; also several at a time."""
    engine, service = tables
    assert service.read() == []
    one, two = [encoding(1, 2), encoding(3)], [encoding(4)]
    first = engine.begin(one, 10.0, 0.5)
    second = engine.begin(two, 11.0, 0.25)
    calls = [RunningCall(10.0, 0.5, tuple(map(digest_of, one))), RunningCall(11.0, 0.25, tuple(map(digest_of, two)))]
    assert sorted(service.read(), key=lambda call: call.began) == calls
    engine.end(first)
    assert service.read() == calls[1:]
    engine.end(second)
    assert service.read() == []


def test_slots_are_used_again(tables: tuple[RunningCalls, RunningCalls]) -> None:
    """Any number of calls, one after the other, and a shorter one leaves nothing of a longer one before it."""
    engine, service = tables
    for number in range(200):
        items = [encoding(number, place) for place in range(1 + number % 3)]
        slot = engine.begin(items, float(number), 1.0)
        assert service.read() == [RunningCall(float(number), 1.0, tuple(map(digest_of, items)))]
        engine.end(slot)


def test_nonsense_is_bounded(tables: tuple[RunningCalls, RunningCalls]) -> None:
    """Whatever a damaged process left there, no more than a slot holds is read."""
    engine, service = tables
    engine._memory[:] = b"\xff" * len(engine._memory)
    assert all(len(call.digests) == 3 for call in service.read())


def test_equal_texts_have_equal_digests() -> None:
    """The ids decide, in their order."""
    assert digest_of(encoding(1, 2)) == digest_of(encoding(1, 2))
    assert len({digest_of(encoding(*ids)) for ids in ((1, 2), (2, 1), (1,), (1, 2, 0))}) == 4
