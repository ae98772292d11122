"""Whole training runs on tiny models."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from model_export.checkpoint import TRAINING_RECORD, open_checkpoint
from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.load import file_digest, load_rows
from plurality.training.train import TrainResult, train
from plurality.training.trainer import PairTrainer, last_checkpoint
from service.domain import ScoreItem
from tests.plurality.training.data import planted, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint

WEIGHTS = "model.safetensors"
STEPS_AN_EPOCH = 8


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", planted(8 * STEPS_AN_EPOCH, votes=True))


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "held-out.jsonl", planted(64, seed=1, votes=True))


def quiet(_: str) -> None:
    """Says nothing."""


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / WEIGHTS)


def same_bits(first: Path, second: Path) -> bool:
    left, right = weights(first), weights(second)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def log_of(output: Path) -> list[dict[str, Any]]:
    """What the trainer logged up to the newest checkpoint."""
    newest = max((output / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history: list[dict[str, Any]] = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return history


@pytest.fixture(scope="module")
def learned(bert: Path, data: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run long enough to learn the planted signal."""
    output = tmp_path_factory.mktemp("learned") / "run"
    return train(settings(bert, data, output, validation=held_out, epochs=6), say=quiet)


def test_learns_planted_signal(learned: TrainResult) -> None:
    """A clear signal is learned: above 0.9 on pairs never seen, whichever side holds the better answer."""
    assert learned.validation["accuracy"] > 0.9
    assert learned.validation["reward_gap"] > 0.5
    assert learned.steps == 6 * STEPS_AN_EPOCH


def test_loss_falls(learned: TrainResult) -> None:
    """The held-out loss falls from epoch to epoch until well below that of a coin, ln 2."""
    losses = [entry["eval_loss"] for entry in log_of(learned.output) if "eval_loss" in entry]
    assert losses[-1] < losses[0]
    assert losses[-1] < 0.3


def test_served_rewards_learned_too(learned: TrainResult, held_out: Path) -> None:
    """The saved model ranks the held-out pairs as the run's own validation says: the way to disk loses nothing."""
    checkpoint = open_checkpoint(str(learned.output))
    rows = load_rows(held_out)
    logits = checkpoint.logits(checkpoint.encode([item for row in rows for item in row.pair.items]))
    right = [(a > b) == (row.label == 1) for a, b, row in zip(logits[::2], logits[1::2], rows, strict=True)]
    assert sum(right) / len(rows) == pytest.approx(learned.validation["accuracy"], abs=1e-9)


def test_checkpoint_reopens(bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written are safetensors and the record; reopened, the logits are bit for bit those of the model in memory."""
    kept: list[Any] = []
    saved = PairTrainer.train

    def keep(self: PairTrainer, *arguments: Any, **named: Any) -> Any:
        kept.append(self.model)
        return saved(self, *arguments, **named)

    monkeypatch.setattr(PairTrainer, "train", keep)
    output = train(settings(bert, data, tmp_path / "run"), say=quiet).output
    assert {WEIGHTS, TRAINING_RECORD, "config.json", "tokenizer.json"} <= {path.name for path in output.iterdir()}
    assert not list(output.rglob("pytorch_model*.bin"))
    opened = open_checkpoint(str(output))
    encodings = opened.encode([ScoreItem("the one", "that was there"), ScoreItem("who", "said so")])
    original = open_checkpoint(str(bert))
    assert original.encode([ScoreItem("the one", "that was there"), ScoreItem("who", "said so")]) == encodings
    reopened = opened.logits(encodings)
    assert reopened != original.logits(encodings)
    opened.model.load_state_dict(kept[0].state_dict())
    assert opened.logits(encodings) == reopened


def test_record(bert: Path, data: Path, held_out: Path, tmp_path: Path) -> None:
    """The record holds objective, format, resolved settings, results and data digests, and no path of this machine."""
    config = settings(bert, data, tmp_path / "run", validation=held_out, objective="margin", max_length=32, epochs=0.25)
    result = train(config, say=quiet)
    text = (result.output / TRAINING_RECORD).read_text()
    record = open_checkpoint(str(result.output)).record
    assert record.objective == "margin"
    assert record.data_sha256 == {"train": file_digest(data), "validation": file_digest(held_out)}
    assert record.training["learning_rate"] == 1e-3
    assert record.training["seed"] == 3
    assert record.training["model"] == bert.name
    assert record.training["validation_accuracy"] == result.validation["accuracy"]
    assert open_checkpoint(str(result.output)).format.max_length == 32
    assert str(tmp_path) not in text
    assert str(bert.parent) not in text


def test_summary(bert: Path, data: Path, tmp_path: Path) -> None:
    """Before it starts, a run says what it trains on, what was cut, and how often judges contradict the label."""
    said: list[str] = []
    train(settings(bert, data, tmp_path / "run", objective="margin", max_length=12, epochs=0.1), say=said.append)
    assert len(said) == 1
    assert "margin: 64 pairs from train.jsonl" in said[0]
    assert "of 128 cut to fit" in said[0]
    assert "contradict the label in 0.0% of the pairs" in said[0]


def test_same_seed_same_bits(bert: Path, data: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights bit for bit; another seed gives others."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(settings(bert, data, tmp_path / name, seed=seed), say=quiet)
    assert same_bits(tmp_path / "a", tmp_path / "b")
    assert not same_bits(tmp_path / "a", tmp_path / "c")


def test_new_head_depends_on_seed_only(data: Path, tmp_path: Path, bert: Path) -> None:
    """A head started anew is the same for the same seed, whatever random numbers were drawn before."""
    headless = tmp_path / "headless"
    model = open_checkpoint(str(bert))
    model.model.bert.save_pretrained(headless)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (headless / name).write_bytes((bert / name).read_bytes())
    for name in ("a", "b"):
        torch.rand(7)
        train(settings(headless, data, tmp_path / name, epochs=0.25), say=quiet)
    assert same_bits(tmp_path / "a", tmp_path / "b")


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Interrupt the run, as Ctrl-C would, in the step after so many."""
    count = itertools.count(1)
    real = PairTrainer.training_step

    def step(self: PairTrainer, *arguments: Any, **named: Any) -> Any:
        if next(count) > steps:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    monkeypatch.setattr(PairTrainer, "training_step", step)


@pytest.mark.parametrize(
    ("stop", "saved", "changes"),
    [
        pytest.param(6, 5, {"save_steps": 5}, id="first-epoch"),
        pytest.param(13, 10, {"save_steps": 5}, id="second-epoch"),
        pytest.param(10, 8, {"save_steps": 4, "validation": True}, id="epoch-border-validation"),
        pytest.param(9, 3, {"save_steps": 3, "gradient_accumulation": 2}, id="accumulation"),
    ],
)
def test_resumed_run_is_the_same_run(
    bert: Path, data: Path, held_out: Path, tmp_path: Path, *, stop: int, saved: int, changes: dict[str, Any]
) -> None:
    """A run that was interrupted and resumed ends with the very bits of one that was not."""
    common = {"epochs": 2} | changes
    if "validation" in common:
        common["validation"] = held_out
    whole = train(settings(bert, data, tmp_path / "whole", **common), say=quiet)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, stop)
        with pytest.raises(KeyboardInterrupt):
            train(settings(bert, data, tmp_path / "cut", **common), say=quiet)
    assert (tmp_path / "cut" / "checkpoints" / f"checkpoint-{saved}").is_dir()
    assert not (tmp_path / "cut" / TRAINING_RECORD).exists()
    resumed = train(settings(bert, data, tmp_path / "cut", resume=True, **common), say=quiet)
    assert resumed.steps == whole.steps
    assert resumed.validation == whole.validation
    assert same_bits(tmp_path / "whole", tmp_path / "cut")


def test_every_pair_once_an_epoch(bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch reads every pair once, each in an order of its own."""
    seen: list[tuple[int, ...]] = []
    real = PairTrainer.training_step

    def step(self: PairTrainer, model: Any, inputs: Any, *rest: Any) -> Any:
        seen.extend(tuple(ids[ids != 0].tolist()) for ids in inputs["input_ids"][: len(inputs["labels"])])
        return real(self, model, inputs, *rest)

    monkeypatch.setattr(PairTrainer, "training_step", step)
    train(settings(bert, data, tmp_path / "run", epochs=2), say=quiet)
    first, second = seen[:64], seen[64:]
    assert sorted(first) == sorted(second)
    assert first != second


def test_nothing_to_resume(bert: Path, data: Path, tmp_path: Path) -> None:
    """Resuming where no run is, is refused with the cure, before anything is loaded."""
    with pytest.raises(TrainingError, match=r"nothing to resume .*leave --resume out"):
        train(settings(tmp_path / "no model", data, tmp_path / "run", resume=True), say=quiet)


def test_output_not_overwritten(learned: TrainResult, bert: Path, data: Path) -> None:
    """An output that holds a run is refused, and stays as it was."""
    before = (learned.output / WEIGHTS).read_bytes()
    with pytest.raises(TrainingError, match="already holds a run"):
        train(settings(bert, data, learned.output), say=quiet)
    assert (learned.output / WEIGHTS).read_bytes() == before


def test_interrupted_output_not_overwritten(bert: Path, data: Path, tmp_path: Path) -> None:
    """Checkpoints of an unfinished run are a run too."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            train(settings(bert, data, tmp_path / "run", save_steps=2), say=quiet)
    with pytest.raises(TrainingError, match="pass --resume"):
        train(settings(bert, data, tmp_path / "run"), say=quiet)


def test_resumed_as_it_was_begun(bert: Path, data: Path, held_out: Path, tmp_path: Path) -> None:
    """Other settings or other data would make two halves of different runs; a half-written checkpoint is none."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            train(settings(bert, data, tmp_path / "run", save_steps=2), say=quiet)
    for other, name in (
        (settings(bert, data, tmp_path / "run", save_steps=2, resume=True, weight_decay=0.3), "weight_decay"),
        (settings(bert, held_out, tmp_path / "run", save_steps=2, resume=True), "data"),
    ):
        with pytest.raises(TrainingError, match=f"had another {name};"):
            train(other, say=quiet)
    checkpoints = tmp_path / "run" / "checkpoints"
    assert last_checkpoint(tmp_path / "run") == checkpoints / "checkpoint-4"
    (checkpoints / "checkpoint-4" / "trainer_state.json").unlink()
    assert last_checkpoint(tmp_path / "run") == checkpoints / "checkpoint-2"


def test_margin_needs_votes(bert: Path, data: Path, tmp_path: Path) -> None:
    """The margin objective on rows without judgements is refused, naming all of them, before training."""
    rows = planted(6, votes=True)
    del rows[1]["votes"], rows[4]["votes"]
    path = write_jsonl(tmp_path / "some.jsonl", rows)
    with pytest.raises(DataError) as caught:
        train(settings(bert, path, tmp_path / "run", objective="margin"), say=quiet)
    assert caught.value.rows == tuple(BadRow(line, "neither votes nor margin") for line in (2, 5))
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match=r"some\.jsonl"):
        train(settings(bert, data, tmp_path / "run", objective="margin", validation=path), say=quiet)


def test_margin_changes_training(bert: Path, data: Path, tmp_path: Path) -> None:
    """The margin reaches the loss: other weights than the baseline's, from the same data and seed."""
    for objective in ("baseline", "margin"):
        train(settings(bert, data, tmp_path / objective, objective=objective), say=quiet)
    assert not same_bits(tmp_path / "baseline", tmp_path / "margin")


def test_decoder_trains(llama: Path, tmp_path: Path) -> None:
    """A decoder takes its steps, moves its weights, and reopens in its chat format."""
    path = write_jsonl(tmp_path / "rows.jsonl", planted(16))
    result = train(settings(llama, path, tmp_path / "run"), say=quiet)
    assert result.steps == 2
    assert not same_bits(llama, result.output)
    opened = open_checkpoint(str(result.output))
    assert opened.format == open_checkpoint(str(llama)).format
    assert len(opened.logits(opened.encode([ScoreItem("the one", "that was there")]))) == 1


@pytest.mark.parametrize("kind", ["bert", "llama", "modernbert", "deberta-v2"])
def test_frozen_layers_keep_their_bits(kind: str, tmp_path: Path) -> None:
    """Embeddings and the lowest layer stay bit for bit as they were; the layer above and the head move."""
    base = build_tiny_checkpoint(kind, tmp_path / "base")
    path = write_jsonl(tmp_path / "rows.jsonl", planted(16))
    train(settings(base, path, tmp_path / "run", freeze_layers=1), say=quiet)
    before, after = weights(base), weights(tmp_path / "run")
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if "embeddings" in name or "embed_tokens" in name or _layer(name) == 0}
    assert frozen
    assert not moved & frozen
    assert any(_layer(name) == 1 for name in moved)
    assert any(_layer(name) is None for name in moved)
    lowest = [_lowest_output(directory) for directory in (base, tmp_path / "run")]
    assert torch.equal(*lowest)


def _lowest_output(directory: Path) -> torch.Tensor:
    """What the lowest layer says of some ids."""
    ids = torch.arange(5, 25)[None]
    with torch.inference_mode():
        base = open_checkpoint(str(directory)).model.base_model
        output: torch.Tensor = base(input_ids=ids, output_hidden_states=True).hidden_states[1]
    return output


def _layer(name: str) -> int | None:
    parts = name.split(".")
    numbers = [int(part) for part in parts if part.isdigit()]
    return numbers[0] if numbers and ("layer" in parts or "layers" in parts) else None


def test_too_many_frozen_layers(bert: Path, data: Path, tmp_path: Path) -> None:
    """Freezing more layers than there are is refused, with how many there are."""
    with pytest.raises(TrainingError, match="cannot freeze 3 layers: the model has 2"):
        train(settings(bert, data, tmp_path / "run", freeze_layers=3), say=quiet)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0}, {"batch_size": 0}, {"learning_rate": float("nan")}, {"learning_rate": float("inf")},
        {"warmup_ratio": 1.0}, {"max_length": 7}, {"objective": "huge"}, {"precision": "fp16"}, {"lr": 1e-3},
        {"save_steps": 0}, {"gradient_accumulation": 0}, {"weight_decay": -1}, {"freeze_layers": -1},
    ],
)  # fmt: skip
def test_settings_refused(changes: dict[str, Any]) -> None:
    """A setting that cannot work, or that nobody knows, is refused by name."""
    with pytest.raises(ValidationError) as caught:
        settings(Path("m"), Path("d"), Path("o"), **changes)
    assert [error["loc"] for error in caught.value.errors()] == [tuple(changes)]
