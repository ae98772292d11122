"""A report without versions to compare says so, and holds."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

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
