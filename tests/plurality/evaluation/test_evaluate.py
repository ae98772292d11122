"""Predictions and scores against values worked out by hand."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_export.checkpoint import open_checkpoint
from model_export.errors import ExportError
from plurality.core.rows import PreferenceRow
from plurality.evaluation.evaluate import predict, score_by, score_rows
from plurality.stats.calibration import ece, ece_noise_floor, l1
from plurality.stats.correlation import pearson
from service.bundle.calibrate import sigmoid
from service.bundle.manifest import Calibration, CalibrationQuality
from service.bundle.open import LoadedModel, score_now
from service.domain import Reward
from tests.fakes import ScriptedBackend, loaded
from tests.plurality.training.data import planted, row
from tests.tiny import build_tiny_checkpoint


def judged(label: float, true_preference: float | None, category: str | None = None) -> PreferenceRow:
    return row(id=f"{label}-{true_preference}", label=label, true_preference=true_preference, category=category)


HAND = [judged(1.0, 0.9, "x"), judged(0.0, 0.7, "x"), judged(0.0, 0.2, "y"), judged(1.0, 0.5)]
"""One label against the majority, one even population, one row without a category."""
PROBABILITY = np.array([0.8, 0.6, 0.55, 0.1])


def calibrated(temperature: float) -> LoadedModel:
    """A scripted model with a temperature; a pair's reward is the sum of its ids."""
    model = loaded(ScriptedBackend())
    quality = CalibrationQuality(ece=0.1, brier=0.2, nll=0.6)
    calibration = Calibration(
        temperature=temperature, pairs=1, data_sha256="0" * 64, before=quality, after=quality, ece_noise_floor=0.1
    )
    return replace(model, manifest=model.manifest.model_copy(update={"calibration": calibration}))


def test_hand_computed() -> None:
    """On four rows worked out by hand every score is that value."""
    scores = score_rows(HAND, PROBABILITY)
    assert scores.pairs == 4
    assert scores.accuracy == pytest.approx(2 / 3, abs=1e-12)  # right, right, wrong; the even population is left out
    assert scores.label_accuracy == pytest.approx(1 / 4, abs=1e-12)
    assert scores.l1 == pytest.approx((0.1 + 0.1 + 0.35 + 0.4) / 4, abs=1e-12)
    # Deviations from the means 0.5125 and 0.575.
    p, q = [0.2875, 0.0875, 0.0375, -0.4125], [0.325, 0.125, -0.375, -0.075]
    product = sum(a * b for a, b in zip(p, q, strict=True))
    expected = product / math.sqrt(sum(a * a for a in p) * sum(b * b for b in q))
    assert scores.pearson == pytest.approx(expected, abs=1e-12)
    # Two-sided bins by confidence: {.8: right}, {.6, .55: wrong, wrong}, {.9: wrong}; both sides alike.
    assert scores.ece == pytest.approx((0.2 + 2 * 0.575 + 0.9) / 4, abs=1e-12)


def test_scores_are_the_metrics() -> None:
    """Pearson and L1 compare with p*, ECE with the labels; the noise floor belongs to these probabilities."""
    scores = score_rows(HAND, PROBABILITY)
    truth, label = np.array([0.9, 0.7, 0.2, 0.5]), np.array([1.0, 0.0, 0.0, 1.0])
    assert scores.pearson == pearson(PROBABILITY, truth)
    assert scores.l1 == l1(PROBABILITY, truth)
    assert scores.ece == ece(PROBABILITY, label)
    assert scores.ece_noise_floor == ece_noise_floor(PROBABILITY).mean


def test_perfect() -> None:
    """Who says p* itself is never wrong about people: L1 zero, correlation one."""
    rows = [judged(float(p > 0.5), p) for p in (0.1, 0.3, 0.8, 0.9)]
    scores = score_rows(rows, np.array([0.1, 0.3, 0.8, 0.9]))
    assert (scores.accuracy, scores.label_accuracy, scores.l1) == (1.0, 1.0, 0.0)
    assert scores.pearson == pytest.approx(1.0, abs=1e-12)


def test_undecided_prediction_counts_half() -> None:
    """A probability of one half is half right."""
    scores = score_rows([judged(1.0, 0.9), judged(0.0, 0.1)], np.array([0.5, 0.1]))
    assert (scores.accuracy, scores.label_accuracy) == (0.75, 0.75)


def test_constant_prediction() -> None:
    """A constant has no correlation: None, not zero and not NaN; the other scores stand."""
    scores = score_rows(HAND, np.full(4, 0.6))
    assert scores.pearson is None
    assert scores.l1 == pytest.approx((0.3 + 0.1 + 0.4 + 0.1) / 4, abs=1e-12)


def test_constant_truth() -> None:
    """A population that always says the same has no correlation either."""
    assert score_rows([judged(1.0, 0.7), judged(0.0, 0.7)], np.array([0.2, 0.8])).pearson is None


def test_no_decided_row() -> None:
    """Where no population is decided there is no accuracy: None, not zero, and numpy does not warn about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_rows([judged(1.0, 0.5), judged(0.0, 0.5)], np.array([0.2, 0.8]))
    assert scores.accuracy is None
    assert scores.label_accuracy == 0.0


def test_true_preference_needed() -> None:
    """A row without a true preference is refused by its id."""
    with pytest.raises(ValueError, match=r"row 1\.0-None has no true_preference"):
        score_rows([*HAND, judged(1.0, None)], np.full(5, 0.5))


def test_slices_cover_all_rows() -> None:
    """`all` holds every row; slices hold those with a key, each scored as if alone."""
    slices = score_by(HAND, PROBABILITY, lambda entry: entry.category)
    assert {name: scores.pairs for name, scores in slices.items()} == {"x": 2, "y": 1, "all": 4}
    assert slices["all"] == score_rows(HAND, PROBABILITY)
    assert slices["x"] == score_rows(HAND[:2], PROBABILITY[:2])
    assert slices["y"] == score_rows(HAND[2:3], PROBABILITY[2:3])


def test_slice_named_all() -> None:
    """A slice of one's own by the name `all` would hide behind the total: it is refused."""
    with pytest.raises(ValueError, match="all"):
        score_by([judged(1.0, 0.9, "all"), judged(0.0, 0.2, "x")], np.array([0.5, 0.4]), lambda entry: entry.category)


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
