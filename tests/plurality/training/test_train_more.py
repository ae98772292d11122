"""Whole runs under MORE, on tiny models."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from model_export.checkpoint import open_checkpoint
from plurality.training.errors import TrainingError
from plurality.training.more import GAP, LAMBDA, LOSS
from plurality.training.plots import plot_weights
from plurality.training.train import MORE_PLOT, train
from plurality.training.trainer import PairTrainer
from tests.plurality.training.data import mixed, planted, same_bits, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", mixed(160))


def quiet(_: str) -> None:
    """Says nothing."""


def history(output: Path) -> list[dict[str, Any]]:
    newest = max((output / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    entries: list[dict[str, Any]] = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return entries


def logged(output: Path) -> list[dict[str, Any]]:
    return [entry for entry in history(output) if GAP in entry]


def test_twenty_steps(bert: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """λ of every step is logged, sums to 1, with its gap; a plot and the mean are kept; the terminal is not flooded."""
    said: list[str] = []
    config = settings(bert, data, tmp_path / "run", more=True, centering=0.01, epochs=1)
    result = train(config, say=said.append)
    assert result.steps == 20
    entries = logged(result.output)
    assert [entry["step"] for entry in entries] == list(range(1, 21))
    for entry in entries:
        weights = [entry[LAMBDA + name] for name in ("large", "small")]
        assert sum(weights) == pytest.approx(1, abs=1e-9)
        assert min(weights) >= 0
        assert entry[GAP] <= 1e-8
        assert entry[LOSS + "large"] > 0
    assert len({entry[LAMBDA + "small"] for entry in entries}) > 10
    assert (result.output / MORE_PLOT).read_bytes().startswith(b"\x89PNG")
    assert "more+bt+centered: 160 pairs" in said[0]
    assert "sources: large 120, small 40" in said[0]
    assert LAMBDA not in capsys.readouterr().out
    record = open_checkpoint(str(result.output)).record
    assert record.objective == "more+bt+centered"
    means = [float(record.training[f"more_mean_lambda/{name}"]) for name in ("large", "small")]
    assert sum(means) == pytest.approx(1, abs=1e-9)
    assert record.training["more"] is True


def test_library_still_logs(bert: Path, data: Path, tmp_path: Path) -> None:
    """The library's own log of loss and learning rate comes when it is due, beside λ."""
    train(settings(bert, data, tmp_path / "run", more=True, epochs=1.5), say=quiet)
    assert [entry["step"] for entry in history(tmp_path / "run") if "learning_rate" in entry] == [25]
    assert len(logged(tmp_path / "run")) == 30


def test_weights_reach_the_model(bert: Path, data: Path, tmp_path: Path) -> None:
    """MORE trains other weights than plain mixing, and a floor of 1, equal weights, others again."""
    for name, changes in (("plain", {}), ("more", {"more": True}), ("equal", {"more": True, "more_floor": 1.0})):
        train(settings(bert, data, tmp_path / name, epochs=0.5, **changes), say=quiet)
    for first, second in itertools.combinations(("plain", "more", "equal"), 2):
        assert not same_bits(tmp_path / first, tmp_path / second)
    assert {entry[LAMBDA + "small"] for entry in logged(tmp_path / "equal")} == {0.5}


class Spy:
    """What each optimizer step's micro-batches gave as loss, summed: the step's loss."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.losses: list[float] = []
        real = PairTrainer.training_step

        def step(trainer: PairTrainer, model: Any, inputs: Any, *rest: Any) -> Any:
            if inputs is trainer._micro_batches[0]:
                self.losses.append(0.0)
            loss = real(trainer, model, inputs, *rest)
            self.losses[-1] += float(loss)
            return loss

        patch.setattr(PairTrainer, "training_step", step)


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("split", [(4, 2), (1, 8)], ids=str)
def test_accumulation_is_one_batch(
    llama: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, split: tuple[int, int], more: bool
) -> None:
    """A step of several micro-batches has the loss, the λ and the effect of the one batch that they are.

    On a decoder, whose signature made the library skip the mean over micro-batches; it has no dropout to differ by.
    """
    losses = []
    for name, (size, parts) in (("whole", (8, 1)), ("parts", split)):
        spy = Spy(monkeypatch)
        changes = {"batch_size": size, "gradient_accumulation": parts, "epochs": 0.2, "more": more}
        train(settings(llama, data, tmp_path / name, **changes), say=quiet)
        monkeypatch.undo()
        losses.append(spy.losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    for first, second in zip(logged(tmp_path / "whole"), logged(tmp_path / "parts"), strict=True):
        assert second[LAMBDA + "small"] == pytest.approx(first[LAMBDA + "small"], abs=1e-3)


def test_unequal_micro_batches(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step's smaller micro-batch counts by its pairs, not as much as a full one."""
    data, losses = write_jsonl(tmp_path / "ten.jsonl", planted(10)), []
    for name, size, parts in (("whole", 10, 1), ("parts", 4, 3)):
        spy = Spy(monkeypatch)
        train(settings(llama, data, tmp_path / name, batch_size=size, gradient_accumulation=parts), say=quiet)
        monkeypatch.undo()
        losses.append(spy.losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_same_dropout_in_both_passes(bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass that finds λ sees the dropout of the one that trains: Σ λ_k L_k of the log is the step's loss."""
    spy = Spy(monkeypatch)
    changes = {"batch_size": 4, "gradient_accumulation": 2, "epochs": 0.3, "more": True}
    train(settings(bert, data, tmp_path / "run", **changes), say=quiet)
    expected = [
        sum(entry[LAMBDA + name] * entry[LOSS + name] for name in ("large", "small"))
        for entry in logged(tmp_path / "run")
    ]
    assert spy.losses == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("stop", "saved", "changes"),
    [(27, 25, {}), (7, 5, {"batch_size": 4, "gradient_accumulation": 2})],
    ids=["whole-second-epoch", "accumulated-first-epoch"],
)
def test_resumed_run_is_the_same_run(
    bert: Path, data: Path, tmp_path: Path, *, stop: int, saved: int, changes: dict[str, Any]
) -> None:
    """An interrupted and resumed MORE run ends with the very bits, and the very λ, of one that was not."""
    common = {"epochs": 1.5, "save_steps": 5, "more": True, "more_floor": 0.05, "objective": "margin"} | changes
    train(settings(bert, data, tmp_path / "whole", **common), say=quiet)
    count, real, parts = itertools.count(1), PairTrainer.training_step, changes.get("gradient_accumulation", 1)

    def step(self: PairTrainer, *arguments: Any, **named: Any) -> Any:
        if next(count) > stop * parts:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairTrainer, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train(settings(bert, data, tmp_path / "cut", **common), say=quiet)
    assert (tmp_path / "cut" / "checkpoints" / f"checkpoint-{saved}").is_dir()
    train(settings(bert, data, tmp_path / "cut", resume=True, **common), say=quiet)
    assert same_bits(tmp_path / "whole", tmp_path / "cut")
    assert logged(tmp_path / "whole") == logged(tmp_path / "cut")
    assert [(tmp_path / name / MORE_PLOT).exists() for name in ("whole", "cut")] == [True, True]


def test_batch_that_cannot_be_balanced(bert: Path, data: Path, tmp_path: Path) -> None:
    """Refused before anything is written, with sizes that work."""
    with pytest.raises(TrainingError, match=r"7 pairs cannot hold equally many of 2 sources; .* 6 or 8"):
        train(settings(bert, data, tmp_path / "run", more=True, batch_size=7), say=quiet)
    assert not (tmp_path / "run").exists()


def test_one_source(bert: Path, tmp_path: Path) -> None:
    """One source is no error, but said: its weight is always 1."""
    said: list[str] = []
    path = write_jsonl(tmp_path / "one.jsonl", planted(16))
    train(settings(bert, path, tmp_path / "run", more=True), say=said.append)
    assert "sources: unknown 16 (only one: its weight is always 1)" in said[0]
    assert [entry[LAMBDA + "unknown"] for entry in logged(tmp_path / "run")] == [1.0, 1.0]


def test_plot_without_steps(tmp_path: Path) -> None:
    """A log without λ is an empty picture, not an error."""
    plot_weights([{"loss": 1.0, "step": 1}], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").exists()
