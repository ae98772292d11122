"""The story of export as a whole: center, calibration, recalibration."""

from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoint import open_checkpoint
from model_export.errors import ExportError, FidelityError
from model_export.pairs import pair_items
from model_export.pipeline import Target, export, recalibrate
from plurality.core.rows import PreferenceRow
from service.bundle.open import load_model, score_now
from service.domain import Reward
from tests.tiny import build_tiny_checkpoint, labeled_pairs


def test_the_center_is_the_mean_of_the_held_out(version: Path, tiny_checkpoint: Path) -> None:
    """Rewards of the reference set have mean 0, and the manifest's statistics are theirs."""
    model = load_model(version)
    outcomes = score_now(model, pair_items(labeled_pairs(tiny_checkpoint, 60)))
    model.backend.close()
    rewards = np.array([outcome.value for outcome in outcomes if isinstance(outcome, Reward)])
    statistics = model.manifest.reward_statistics
    assert len(rewards) == statistics.count == 120
    assert rewards.mean() == pytest.approx(0.0, abs=1e-5)
    assert rewards.std() == pytest.approx(statistics.std, abs=1e-5)
    assert np.median(rewards) == pytest.approx(statistics.quantiles["0.5"], abs=1e-5)
    assert model.manifest.calibration is not None
    assert model.manifest.calibration.temperature == pytest.approx(2.0, abs=1e-3)


def test_recalibration_is_a_new_version_of_the_same_weights(
    store: Path, version: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same model file, new temperature, parent and sequence set; the old version stays."""
    pairs = [
        p.model_copy(update={"label": 0.5 + (p.label - 0.5) * 0.5}) for p in labeled_pairs(tiny_checkpoint, 50, seed=9)
    ]
    monkeypatch.setattr("model_export.pipeline.now", lambda: "2100-01-01T00:00:00+00:00")
    new = recalibrate(store, "tiny", "stable", pairs, alias="stable")
    old = load_model(version)
    old.backend.close()
    assert new.manifest.parent == version.name
    assert new.manifest.sequence == 2
    assert new.manifest.created == "2100-01-01T00:00:00+00:00"
    assert new.manifest.files == old.manifest.files
    assert new.manifest.calibration is not None
    assert new.manifest.calibration.temperature > 3
    load_model(version.with_name(new.digest)).backend.close()


def test_unscorable_pairs_are_refused(published_chat: Path, tmp_path: Path) -> None:
    """Pairs that the model cannot read are not left out silently."""
    pairs = [PreferenceRow(id="1", prompt="p", response_a="<|eot_id|>", response_b="b", label=1.0)] * 40
    with pytest.raises(ExportError, match="40 responses cannot be scored"):
        recalibrate(published_chat, "chatty", "stable", pairs, alias=None)


def test_nothing_is_published_when_a_gate_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first precision is refused the store stays as it was; if a further one is, the first is there."""
    monkeypatch.setattr("model_export.verify.INT8_SPEARMAN", 1.1)
    checkpoint = open_checkpoint(str(build_tiny_checkpoint("bert", tmp_path / "model")))
    with pytest.raises(FidelityError):
        export(checkpoint, Target(tmp_path / "store", "m", ("int8",)), say=lambda _: None)
    assert not (tmp_path / "store").exists()
    told: list[str] = []
    [published] = export(checkpoint, Target(tmp_path / "store", "m"), say=told.append)
    assert published.manifest.precision == "fp32"
    assert any(line.startswith("int8 is not published: ") for line in told)
