"""Held-out figures of all pairs and by source: each what the evaluation's own metrics say of the same pairs."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model_export.checkpoint import TRAINING_RECORD, open_checkpoint
from plurality.stats import ece, nll
from plurality.training.load import load_rows
from plurality.training.train import by_source, train
from plurality.training.validation import validation_metrics
from tests.plurality.training.data import mixed, planted, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint


def quiet(_: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on one source, validated on three, with a short last batch."""
    folder = tmp_path_factory.mktemp("run")
    model = build_tiny_checkpoint("bert", folder / "bert")
    data = write_jsonl(folder / "train.jsonl", [entry | {"source": "small"} for entry in planted(32)])
    rows = [*mixed(30), *(entry | {"id": f"u{i}", "label": 0.5} for i, entry in enumerate(planted(5)))]
    held_out = write_jsonl(folder / "held-out.jsonl", rows)
    return train(settings(model, data, folder / "out", validation=held_out, epochs=2, batch_size=8), say=quiet).output


def test_by_source(run: Path) -> None:
    """The record's figures are those of the saved model on each source's pairs, also of sources not trained on."""
    record = json.loads((run / TRAINING_RECORD).read_text())["training"]
    rows = load_rows(run.parent / "held-out.jsonl")
    checkpoint = open_checkpoint(str(run))
    logits = checkpoint.logits(checkpoint.encode([item for row in rows for item in row.pair.items]))
    gap = np.array(logits[::2]) - np.array(logits[1::2])
    label, source = np.array([row.label for row in rows]), np.array([row.source for row in rows])
    assert set(source) == {"small", "large", "unknown"}
    for name in ("", "small", "large", "unknown"):
        own = source == name if name else np.full(len(rows), True)
        probability, suffix = 1 / (1 + np.exp(-gap[own])), f"/{name}" if name else ""
        assert record[f"validation_nll{suffix}"] == pytest.approx(nll(probability, label[own]), abs=1e-5)
        assert record[f"validation_loss{suffix}"] == pytest.approx(nll(probability, label[own]), abs=1e-5)
        assert record[f"validation_ece{suffix}"] == pytest.approx(ece(probability, label[own]), abs=1e-4)
        decided = own & (label != 0.5)
        right = (gap > 0) == (label == 1)
        assert record.get(f"validation_accuracy{suffix}", 0.0) == pytest.approx(
            float(np.mean(right[decided])) if decided.any() else 0.0
        )


def test_every_epoch_is_logged(run: Path) -> None:
    """The library's log, and so every reporter, has them each epoch."""
    newest = run / "checkpoints" / "checkpoint-8"
    history = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    assert [entry["epoch"] for entry in history if "eval_accuracy/small" in entry] == [1.0, 2.0]


def test_one_source_is_not_said_twice() -> None:
    """All pairs of one source: no second copy of each figure. A source without a decided label has no accuracy."""
    reward_B2 = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    columns = [[1.0, 1.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0], [0.5, 0.5, 0.0, 1.0, 0.0]]
    labels = np.array(columns, dtype=np.float32)
    compute = validation_metrics(("a", "b"))
    one = compute(SimpleNamespace(predictions=reward_B2.numpy(), label_ids=labels))
    assert not any("/" in name for name in one)
    assert one["accuracy"] == 1.0
    assert one["reward_gap"] == pytest.approx(1.5)
    labels[2, 4] = 1
    two = compute(SimpleNamespace(predictions=reward_B2.numpy(), label_ids=labels))
    assert {name for name in two if name.endswith("/b")} == {"loss/b", "ece/b", "nll/b"}
    assert two["accuracy/a"] == 1.0


def test_centering_and_margin_are_in_the_loss() -> None:
    """The loss is the objective's own: -log σ(Δ - m) + c·(r_a + r_b)², to its closed form."""
    labels = np.array([[1.0, 1.0, 0.5, 1.0, 0.0]], dtype=np.float32)
    found = validation_metrics(("a",), centering=0.1)(
        SimpleNamespace(predictions=np.array([[2.0, 1.0]], dtype=np.float32), label_ids=labels)
    )
    assert found["loss"] == pytest.approx(np.log1p(np.exp(-0.5)) + 0.1 * 9)


def test_lines() -> None:
    """What the command prints: all pairs first, then a line a source; a source may have a slash in its name."""
    assert by_source({"loss": 1.0, "loss/a/b": 2.0, "nll/a/b": 3.0}) == {
        "": {"loss": 1.0},
        " of a/b": {"loss": 2.0, "nll": 3.0},
    }
