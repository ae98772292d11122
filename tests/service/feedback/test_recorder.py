"""Remembering pairs: found at every moment, dropped and counted when the database is too slow, written at the end."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from plurality.core.pairs import ResponsePair
from service.errors import FeedbackUnavailable
from service.feedback.database import FeedbackStore
from service.feedback.recorder import Recorder
from service.feedback.records import ScoredPair
from tests.fakes import ManualClock
from tests.service.feedback.stories import DIGEST, PAIR, SAID, opened


class HeldStore(FeedbackStore):
    """A store whose writes wait until they are let through, and fail so many times."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.free = threading.Event()
        self.entered = threading.Event()
        self.landed = threading.Semaphore(0)
        self.failures: list[Exception] = []

    def remember(self, pairs: Sequence[ScoredPair]) -> None:
        self.entered.set()
        assert self.free.wait(30)
        if self.failures:
            raise self.failures.pop()
        super().remember(pairs)
        self.landed.release()


class Rig:
    """A recorder over a store that can be held."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.url = f"sqlite:///{folder / 'votes.db'}"
        self.store = HeldStore(self.url)
        self.lost: list[int] = []
        self.clock = ManualClock()
        self.recorder = Recorder(self.store, hours=1.0, dropped=self.lost.append, clock=self.clock, **options)
        self.recorder.start()

    def end(self) -> None:
        self.store.free.set()
        self.recorder.close()
        self.store.close()

    def written(self, request_id: str, index: int = 0) -> ScoredPair | None:
        with opened(self.url) as store:
            return store.find(request_id, index)


def pair(request_id: str, text: str = "", **changes: object) -> ScoredPair:
    """A pair that was scored when the manual clock began."""
    judged = ResponsePair(text or PAIR.prompt, "a", "b")
    made = ScoredPair(request_id, 0, judged, "tiny", DIGEST, SAID, created=1000.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_pair_is_found_before_and_after_it_is_written(tmp_path: Path) -> None:
    """While the write hangs it is in the queue; afterwards in the database."""
    rig = Rig(tmp_path)
    try:
        rig.recorder.keep([pair("r")])
        assert rig.store.entered.wait(30)
        assert rig.recorder.find("r", 0) == pair("r")
        assert rig.written("r") is None
        rig.store.free.set()
        assert rig.store.landed.acquire(timeout=30)
        assert rig.written("r") == pair("r")
        assert rig.recorder.find("r", 0) == pair("r")
        assert rig.recorder.find("r", 1) is None
    finally:
        rig.end()
    assert rig.lost == []


def test_a_later_reply_of_the_same_id_wins_while_the_first_is_written(tmp_path: Path) -> None:
    """It is not taken out of the queue with the row of the earlier one."""
    rig = Rig(tmp_path)
    try:
        rig.recorder.keep([pair("r")])
        assert rig.store.entered.wait(30)
        rig.recorder.keep([pair("r", "another prompt")])
        assert rig.recorder.find("r", 0) == pair("r", "another prompt")
    finally:
        rig.end()
    assert rig.written("r") == pair("r", "another prompt")


@pytest.mark.parametrize("options", [{"max_pairs": 2}, {"max_characters": 2 * (2 * 10 + 2) + 1}])
def test_what_does_not_fit_is_dropped_whole_and_counted(tmp_path: Path, options: dict[str, int]) -> None:
    """`keep` returns though the database hangs; there is room again once it has written."""
    rig = Rig(tmp_path, **options)
    try:
        rig.recorder.keep([pair("1", "x" * 10)])
        assert rig.store.entered.wait(30)
        rig.recorder.keep([pair("2", "x" * 10), pair("3", "x" * 10)])
        rig.recorder.keep([pair("4", "x" * 10)])
        rig.recorder.keep([pair("5", "x" * 10)])
        assert rig.lost == [2, 1]
        assert rig.recorder.find("2", 0) is None
        rig.store.free.set()
        assert rig.store.landed.acquire(timeout=30)
        assert rig.store.landed.acquire(timeout=30)
    finally:
        rig.end()
    assert rig.written("1")
    assert rig.written("4")


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    """A shutdown loses nothing."""
    rig = Rig(tmp_path)
    rig.recorder.keep([pair(str(number)) for number in range(1000)])
    rig.end()
    assert rig.lost == []
    assert rig.written("0")
    assert rig.written("999")
    rig.recorder.keep([pair("late")])
    assert rig.lost == [1]


def test_a_database_that_fails_is_asked_again(tmp_path: Path) -> None:
    """At the end too: once more, and then what is lost is counted."""
    rig = Rig(tmp_path)
    rig.store.failures = [FeedbackUnavailable("away")]
    rig.recorder.keep([pair("1")])
    rig.store.free.set()
    assert rig.store.landed.acquire(timeout=30)
    rig.store.failures = [FeedbackUnavailable("away") for _ in range(100)]
    rig.recorder.keep([pair("2"), pair("3", index=1)])
    rig.end()
    assert rig.written("1")
    assert rig.lost == [2]


def test_a_batch_that_cannot_be_written_ends_no_other(tmp_path: Path) -> None:
    """It is counted as lost."""
    rig = Rig(tmp_path)
    rig.store.failures = [ValueError("poison")]
    rig.recorder.keep([pair("1")])
    assert rig.store.entered.wait(30)
    rig.recorder.keep([pair("2")])
    rig.end()
    assert rig.lost == [1]
    assert rig.written("1") is None
    assert rig.written("2")


def test_old_pairs_are_not_found_and_go(tmp_path: Path) -> None:
    """A pair is remembered for so many hours, and purged with a later write."""
    rig = Rig(tmp_path)
    try:
        rig.store.free.set()
        rig.recorder.keep([pair("old")])
        assert rig.store.landed.acquire(timeout=30)
        rig.clock.now += 3599
        assert rig.recorder.find("old", 0)
        rig.clock.now += 2
        assert rig.recorder.find("old", 0) is None
        rig.clock.now += 600
        rig.recorder.keep([pair("new", created=rig.clock.now)])
    finally:
        rig.end()
    assert rig.written("old") is None
    assert rig.written("new")
