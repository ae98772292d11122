"""Predictions of a bundle against its own rewards."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoint import open_checkpoint
from model_export.errors import ExportError
from plurality.core.rows import PreferenceRow
from plurality.evaluation.predict import predict
from service.bundle.calibrate import sigmoid
from service.bundle.manifest import Calibration, CalibrationQuality
from service.bundle.open import LoadedModel, score_now
from service.domain import Reward
from tests.fakes import ScriptedBackend, loaded
from tests.plurality.training.data import planted, row
from tests.tiny import build_tiny_checkpoint


def calibrated(temperature: float) -> LoadedModel:
    """A scripted model with a temperature; a pair's reward is the sum of its ids."""
    model = loaded(ScriptedBackend())
    quality = CalibrationQuality(ece=0.1, brier=0.2, nll=0.6)
    calibration = Calibration(
        temperature=temperature, pairs=1, data_sha256="0" * 64, before=quality, after=quality, ece_noise_floor=0.1
    )
    return replace(model, manifest=model.manifest.model_copy(update={"calibration": calibration}))


def test_probabilities_follow_rewards() -> None:
    """Margins are r_a − r_b of the service's own rewards; raw is σ(margin), calibrated σ(margin / T)."""
    rows = [row(id=str(i), prompt="a", response_a=a, response_b="b") for i, a in enumerate(["a", "b", "a c", "g"] * 10)]
    model = calibrated(4.0)
    found = predict(model, rows)
    rewards = [
        outcome.value if isinstance(outcome, Reward) else math.nan
        for outcome in score_now(model, [item for entry in rows for item in entry.pair.items])
    ]
    margins = [a - b for a, b in zip(rewards[::2], rewards[1::2], strict=True)]
    assert found.margin.tolist() == margins
    assert found.rewards.reshape(-1).tolist() == rewards
    assert len({*margins}) > 2
    assert found.raw.tolist() == [sigmoid(margin) for margin in margins]
    assert found.calibrated.tolist() == [sigmoid(margin / 4.0) for margin in margins]


def test_uncalibrated() -> None:
    """Without a calibration both probabilities are the raw one."""
    found = predict(loaded(ScriptedBackend()), [row(prompt="a", response_a="c", response_b="b")])
    assert found.margin.tolist() == [1.0]
    assert found.raw.tolist() == found.calibrated.tolist() == [sigmoid(1.0)]


@pytest.mark.parametrize("poisoned", [0, 1, 32, 39])
def test_no_row_left_out(poisoned: int) -> None:
    """A response without a reward stops the prediction and is named by its row, whichever side and chunk it is in."""
    rows = [row(id=f"row-{i}", prompt="a", response_a="c", response_b="b") for i in range(20)]
    backend = ScriptedBackend()
    real, calls = backend.run, iter(range(40))

    def run(batch: object) -> object:
        rewards = real(batch)  # type: ignore[arg-type]
        return np.full_like(rewards, np.nan) if next(calls) == poisoned else rewards

    backend.run = run  # type: ignore[assignment, method-assign]
    with pytest.raises(ExportError, match=f"row row-{poisoned // 2} cannot be scored"):
        predict(loaded(backend), rows)


def test_swapped_pair(tmp_path: Path) -> None:
    """On a real model, swapping the answers turns the margin round and the probability into its complement."""
    checkpoint = open_checkpoint(str(build_tiny_checkpoint("bert", tmp_path / "bert")))
    rows = [PreferenceRow.model_validate(raw) for raw in planted(4)]
    logits = checkpoint.logits(checkpoint.encode([item for entry in rows for item in entry.pair.items]))
    backend = ScriptedBackend()
    model = loaded(backend)
    real = iter(logits + [logits[i ^ 1] for i in range(len(logits))])
    backend.run = lambda batch: np.array([next(real)], dtype=np.float32)  # type: ignore[method-assign]
    forward, backward = predict(model, rows), predict(model, rows)
    assert forward.margin.tolist() == (-backward.margin).tolist()
    assert forward.raw + backward.raw == pytest.approx(np.ones(4), abs=1e-12)
    assert forward.margin == pytest.approx(np.array(logits[::2]) - np.array(logits[1::2]), abs=1e-6)
