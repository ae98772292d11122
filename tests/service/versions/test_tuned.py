"""Profiles with a real bundle: measured once, kept by version and machine, never a reason not to serve."""

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.bundle.open import LoadedModel, check_golden, open_model
from service.bundle.store import VerifiedFiles, read_verified
from service.domain import Encoding
from service.engine.backend import DualSessionBackend, OrtBackend, pad
from service.errors import BundleRejected, InferenceFailed
from service.versions.tuned import TunedModel, load_tuned
from tests.api import settings_for

ROW = pad([Encoding((1, 2), 2, 0)], 0)


def load(store: Path, cache: Path, **overrides: object) -> tuple[TunedModel, list[str]]:
    """A tuned model, and what was logged on the way."""
    [directory] = (store / "tiny" / "versions").iterdir()
    with capture_logs() as logs:
        tuned = load_tuned(read_verified(directory), settings_for(store, cache_dir=cache, **overrides))
    tuned.model.backend.close()
    return tuned, [entry["event"] for entry in logs]


def test_measured_once(published: Path, tmp_path: Path) -> None:
    """The second start finds the first one's profile, and asks the engine nothing."""
    first, told = load(published, tmp_path)
    assert told == ["profiled"]
    assert first.profile.workers >= 1
    assert any(cell.items == 1 for cell in first.profile.cells)
    second, told = load(published, tmp_path)
    assert told == []
    assert second.profile == first.profile


def test_other_settings_are_another_profile(published: Path, tmp_path: Path) -> None:
    """Fixed workers or threads are used as asked; each question has its own record."""
    load(published, tmp_path)
    fixed, told = load(published, tmp_path, batching={"workers": 3}, runtime={"threads": 1})
    assert told == ["profiled"]
    assert (fixed.profile.workers, fixed.profile.threads) == (3, 1)
    workers, _ = load(published, tmp_path, batching={"workers": 1000 // 16})
    assert (workers.profile.workers, workers.profile.threads) == (62, 1)
    assert len(list((tmp_path / "profiles").iterdir())) == 3


@pytest.mark.parametrize("content", [b"", b"{", b'{"workers":1,"threads":1,"single":[],"batches":[]}', b"\xff"])
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


def test_lanes_come_with_a_wide_engine(published: Path, tmp_path: Path) -> None:
    """Where the profile has several workers a second engine serves lone calls, unless that is unwanted."""
    load(published, tmp_path)
    [record] = (tmp_path / "profiles").iterdir()
    profile = json.loads(record.read_text()) | {"workers": 2, "threads": 1}
    record.write_text(json.dumps(profile))
    [directory] = (published / "tiny" / "versions").iterdir()
    tuned = load_tuned(read_verified(directory), settings_for(published, cache_dir=tmp_path))
    assert isinstance(tuned.model.backend, DualSessionBackend)
    check_golden(tuned.model)
    tuned.model.backend.close()
    with pytest.raises(InferenceFailed, match="closed"):
        tuned.model.backend.run(ROW)
    narrow, _ = load(published, tmp_path, runtime={"low_latency_session": False})
    assert isinstance(narrow.model.backend, OrtBackend)


def test_a_version_that_breaks_between_the_two_engines(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the second engine cannot be opened the first is closed, and the refusal passes through."""
    load(published, tmp_path)
    [record] = (tmp_path / "profiles").iterdir()
    record.write_text(json.dumps(json.loads(record.read_text()) | {"workers": 2, "threads": 1}))
    opened: list[LoadedModel] = []

    def once(files: VerifiedFiles, **options: Any) -> LoadedModel:
        if opened:
            raise BundleRejected("gone", reason="io")
        opened.append(open_model(files, **options))
        return opened[-1]

    monkeypatch.setattr("service.versions.tuned.open_model", once)
    with pytest.raises(BundleRejected, match="gone"):
        load(published, tmp_path)
    with pytest.raises(InferenceFailed, match="closed"):
        opened[0].backend.run(ROW)


def test_a_measurement_that_fails_leaves_nothing_open(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that breaks while it is timed is closed, and the error passes through."""
    opened: list[LoadedModel] = []

    def noted(files: VerifiedFiles, **options: Any) -> LoadedModel:
        opened.append(open_model(files, **options))
        return opened[-1]

    def broken(*_: object, **__: object) -> None:
        raise InferenceFailed("broken")

    monkeypatch.setattr("service.versions.tuned.open_model", noted)
    monkeypatch.setattr("service.versions.tuned.measure_cells", broken)
    with pytest.raises(InferenceFailed, match="broken"):
        load(published, tmp_path)
    for model in opened:
        with pytest.raises(InferenceFailed, match="closed"):
            model.backend.run(ROW)
