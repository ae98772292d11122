"""Suspects run with nothing beside them; everything else runs as it did. Real threads, scripted scores."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.domain import Encoding, Outcome, Reward
from service.engine.running_calls import RunningCalls, digest_of
from service.engine.suspects import SuspectsAlone
from service.errors import InferenceFailed
from tests.fakes import BATCHING_PAYS, encoding

SUSPECT, OTHER = encoding(6, 6), encoding(1)


@pytest.fixture
def calls() -> Iterator[RunningCalls]:
    """An empty table."""
    descriptor = RunningCalls.create(8)
    table = RunningCalls(descriptor, 8)
    os.close(descriptor)
    yield table
    table.close()


def rewards(encodings: Sequence[Encoding]) -> list[Outcome]:
    """The sum of the ids."""
    return [Reward(float(sum(entry.ids)), len(entry.ids), 0) for entry in encodings]


def test_outcomes_keep_their_places(calls: RunningCalls) -> None:
    """A suspect in a batch runs in a call of its own, once; a later time it is an ordinary text."""
    seen: list[list[Encoding]] = []

    def score(encodings: Sequence[Encoding]) -> list[Outcome]:
        seen.append(list(encodings))
        [call] = calls.read()
        assert call.digests == tuple(map(digest_of, encodings))
        return rewards(encodings)

    guarded = SuspectsAlone(score, BATCHING_PAYS, calls, [digest_of(SUSPECT)])
    batch = [encoding(2), SUSPECT, encoding(3)]
    assert list(guarded(batch)) == rewards(batch)
    assert list(guarded([SUSPECT])) == rewards([SUSPECT])
    assert list(guarded(batch)) == rewards(batch)
    assert seen == [[SUSPECT], [encoding(2), encoding(3)], [SUSPECT], batch]
    assert calls.read() == []


def test_a_failure_is_passed_on(calls: RunningCalls) -> None:
    """What fails stays a suspect, leaves no call in the table, and blocks nobody."""

    def score(encodings: Sequence[Encoding]) -> list[Outcome]:
        if SUSPECT in encodings:
            raise InferenceFailed("no")
        return rewards(encodings)

    guarded = SuspectsAlone(score, BATCHING_PAYS, calls, [digest_of(SUSPECT)])
    for _ in range(2):
        with pytest.raises(InferenceFailed):
            guarded([SUSPECT])
        assert list(guarded([OTHER])) == rewards([OTHER])
    assert calls.read() == []


def test_nothing_runs_beside_a_suspect(calls: RunningCalls) -> None:
    """It waits for what runs; what comes later waits for it."""
    running, most, lock = 0, 0, threading.Lock()
    held, entered = threading.Event(), threading.Event()

    def score(encodings: Sequence[Encoding]) -> list[Outcome]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if SUSPECT in encodings:
                assert running == 1
        if encodings[0] == OTHER:
            entered.set()
            assert held.wait(30)
        with lock:
            running -= 1
        return rewards(encodings)

    guarded = SuspectsAlone(score, BATCHING_PAYS, calls, [digest_of(SUSPECT)])
    with ThreadPoolExecutor(8) as pool:
        before = [pool.submit(guarded, [OTHER]) for _ in range(2)]
        assert entered.wait(30)
        suspect = pool.submit(guarded, [SUSPECT])
        after = [pool.submit(guarded, [encoding(9, number)]) for number in range(5)]
        held.set()
        assert list(suspect.result(30)) == rewards([SUSPECT])
        for future in (*before, *after):
            assert future.result(30)
    assert most <= 7
