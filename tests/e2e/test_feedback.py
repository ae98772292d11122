"""Votes and a real process, on SQLite."""

from pathlib import Path

import pytest

from tests.e2e.feedback import votes_outlive_the_process


@pytest.mark.e2e
def test_votes_outlive_the_process(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See there."""
    votes_outlive_the_process(f"sqlite:///{tmp_path / 'votes.db'}", published, tmp_path, monkeypatch)
