"""Profiles with a real bundle: measured once, kept by version and machine, never a reason not to serve."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.errors import BundleRejected
from service.repository.tuned import TunedModel, load_tuned
from tests.api import settings_for


def load(store: Path, cache: Path, **overrides: object) -> tuple[TunedModel, list[str]]:
    """A tuned model, and what was logged on the way."""
    [directory] = (store / "tiny" / "versions").iterdir()
    with capture_logs() as logs:
        tuned = load_tuned(directory, settings_for(store, cache_dir=cache, **overrides))
    tuned.model.backend.close()
    return tuned, [entry["event"] for entry in logs]


def test_measured_once(published: Path, tmp_path: Path) -> None:
    """The second start finds the first one's profile, and asks the engine nothing."""
    first, told = load(published, tmp_path)
    assert told == ["profiled"]
    assert first.profile.lanes >= 1
    assert any(cell.items == 1 for cell in first.profile.cells)
    second, told = load(published, tmp_path)
    assert told == []
    assert second.profile == first.profile


def test_other_settings_are_another_profile(published: Path, tmp_path: Path) -> None:
    """Fixed lanes or threads are used as asked; each question has its own record."""
    load(published, tmp_path)
    fixed, told = load(published, tmp_path, batching={"lanes": 3}, runtime={"threads": 1})
    assert told == ["profiled"]
    assert (fixed.profile.lanes, fixed.profile.threads) == (3, 1)
    lanes, _ = load(published, tmp_path, batching={"lanes": 1000 // 16})
    assert (lanes.profile.lanes, lanes.profile.threads) == (62, 1)
    assert len(list((tmp_path / "profiles").iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"{", b'{"lanes":1,"threads":1,"single":[],"batches":[]}', b"\xff"])
def test_a_broken_record_is_measured_again(published: Path, tmp_path: Path, content: bytes) -> None:
    """An empty, torn or impossible record costs a measurement, is named in the log, and is replaced."""
    load(published, tmp_path)
    [record] = (tmp_path / "profiles").iterdir()
    record.write_bytes(content)
    _, told = load(published, tmp_path)
    assert told == ["profile_unreadable", "profiled"]
    assert load(published, tmp_path)[1] == []


def test_an_unwritable_cache_does_not_matter(published: Path, tmp_path: Path) -> None:
    """A cache folder that cannot be made: measured at each start, and said."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    tuned, told = load(published, blocked / "cache")
    assert tuned.profile.cells
    assert told[-2:] == ["profiled", "profile_not_kept"]


def test_a_bad_version_leaves_nothing_open(store: Path, version: Path, tmp_path: Path) -> None:
    """Refusals pass through; no profile is kept."""
    (version / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleRejected):
        load(store, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
