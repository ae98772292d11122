"""Reporters: TensorBoard's event file is written and read back; what is not there is refused with the cure."""

import importlib.util
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from plurality.training.errors import TrainingError
from plurality.training.more import LAMBDA
from plurality.training.reporters import reporters
from plurality.training.train import train
from plurality.training.trainer import REPORTS
from tests.plurality.training.data import mixed, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint


def quiet(_: str) -> None:
    """Says nothing."""


def test_tensorboard(tmp_path: Path) -> None:
    """λ of every step, and the held-out figures by source of every epoch, are in the event file."""
    model = build_tiny_checkpoint("bert", tmp_path / "bert")
    data = write_jsonl(tmp_path / "train.jsonl", mixed(32))
    config = settings(model, data, tmp_path / "run", validation=data, epochs=2, more=True, report_to="tensorboard")
    result = train(config, say=quiet)
    events = EventAccumulator(str(tmp_path / "run" / REPORTS))
    events.Reload()
    assert [entry.step for entry in events.Scalars(f"train/{LAMBDA}small")] == list(range(1, 9))
    accuracy = events.Scalars("eval/accuracy/small")
    assert [entry.step for entry in accuracy] == [4, 8, 8]
    assert accuracy[-1].value == pytest.approx(result.validation["accuracy/small"])
    assert [entry.step for entry in events.Scalars("eval/nll")] == [4, 8, 8]


def test_names() -> None:
    """none is no reporter; several are named with commas."""
    assert reporters("none") == reporters("") == []
    assert reporters("tensorboard, none") == ["tensorboard"]


def test_unknown_reporter(tmp_path: Path) -> None:
    """A name that nobody knows is refused with those that there are, before anything is written."""
    model = build_tiny_checkpoint("bert", tmp_path / "bert")
    data = write_jsonl(tmp_path / "train.jsonl", mixed(16))
    with pytest.raises(TrainingError, match=r"report_to: tensorbored is unknown; there are .*tensorboard.*wandb"):
        train(settings(model, data, tmp_path / "run", report_to="tensorbored"), say=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is there")
def test_missing_package() -> None:
    """A reporter whose package is not installed says what to install."""
    with pytest.raises(TrainingError, match=r"report_to: .*pip install wandb"):
        reporters("wandb")
