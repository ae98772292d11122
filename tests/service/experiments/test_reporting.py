"""A report without versions to compare says so, and holds."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.errors import NonFiniteReward
from service.experiments.predict import Resident
from service.experiments.registry import Entry, Registry
from service.experiments.reporting import report_on
from service.feedback.database import FeedbackStore
from service.telemetry.metrics import Metrics
from tests.service.experiments.shelf import experiment, write_file

ONE, TWO = Resident("1" * 64, "2026-01-01T00:00:00+00:00"), Resident("2" * 64, "2026-01-01T00:00:00+00:00")


def entry_in(folder: Path) -> Entry:
    registry = Registry(write_file(folder, experiment()), None, Metrics(version="test").experiments, poll_interval_s=9)
    asyncio.run(registry.open())
    return registry.entries["tone"]


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({}, "control's version is not resident"),
        ({"current": ONE}, "arm's version is not resident"),
        ({"current": ONE, "new": ONE}, "the same version"),
        ({"current": ONE, "new": Resident("2" * 64, "lately")}, "does not say when it was made"),
        ({"current": ONE, "new": TWO}, "No vote has predictions of both versions"),
    ],
)
def test_nothing_to_compare(tmp_path: Path, versions: Mapping[str, Resident], words: str) -> None:
    """Never promoted on missing data."""
    store = FeedbackStore(f"sqlite:///{tmp_path}/votes.db")
    [found] = report_on(entry_in(tmp_path), versions, store)
    assert (found.arm, found.verdict.action) == ("new", "hold")
    assert words in " ".join(found.verdict.reasons)
    store.close()


def test_health_is_of_the_versions_that_are_compared(tmp_path: Path) -> None:
    """What another version served before as this arm says nothing of the one that is there now."""
    entry = entry_in(tmp_path)
    broken = Resident("3" * 64, ONE.created)
    entry.health("new", broken.digest).counters.add([NonFiniteReward("scripted")])
    store = FeedbackStore(f"sqlite:///{tmp_path}/votes.db")
    actions = [report_on(entry, {"current": ONE, "new": version}, store)[0].verdict.action for version in (broken, TWO)]
    assert actions == ["roll_back", "hold"]
    store.close()


def test_health_of_past_versions_is_bounded(tmp_path: Path) -> None:
    """Of an arm whose alias moves for ever the last versions are kept, the other arms' all the same."""
    entry = entry_in(tmp_path)
    entry.health("current", "c").counters.add([])
    for number in range(9):
        entry.health("new", str(number)).counters.add([])
    assert [entry.seen("new", str(number)).counters.requests for number in range(9)] == [0] * 5 + [1] * 4
    assert entry.seen("current", "c").counters.requests == 1
