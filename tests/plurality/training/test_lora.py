"""Low-rank adapters: what they train, what is saved, and that a resumed run is the same run."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_export.checkpoint import TRAINING_RECORD, open_checkpoint
from plurality.training.dataset import Collator, Example
from plurality.training.errors import TrainingError
from plurality.training.freeze import freeze_lowest
from plurality.training.head import find_head
from plurality.training.lora import add_lora, merged, plain
from plurality.training.targets import Target
from plurality.training.train import train
from plurality.training.trainer import PairTrainer
from service.domain import ScoreItem
from tests.plurality.training.data import mixed, planted, same_bits, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint

ITEMS = [ScoreItem("the one", "that was there"), ScoreItem("who", "said so")]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", planted(64))


def quiet(_: str) -> None:
    """Says nothing."""


def adapted(directory: Path, **changes: Any) -> Any:
    base = open_checkpoint(str(directory))
    return add_lora(base.model, **({"rank": 4, "alpha": 8.0, "dropout": 0.0} | changes))


def trained(model: Any) -> set[str]:
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "modernbert", "llama", "qwen3"])
def test_run_is_saved_merged(kind: str, tmp_path: Path) -> None:
    """The checkpoint has the names and shapes of one without LoRA, opens as any other, and gives the run's rewards."""
    base = build_tiny_checkpoint(kind, tmp_path / "base")
    path = write_jsonl(tmp_path / "rows.jsonl", planted(32))
    kept: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        real = PairTrainer.evaluate

        def evaluate(self: PairTrainer, *rest: Any, **named: Any) -> Any:
            kept[:] = [adapter_rewards(self.model, base)]
            return real(self, *rest, **named)

        patch.setattr(PairTrainer, "evaluate", evaluate)
        output = train(settings(base, path, tmp_path / "run", validation=path, lora_rank=4), say=quiet).output
    before, after = load_file(base / "model.safetensors"), load_file(output / "model.safetensors")
    assert {name: weight.shape for name, weight in before.items()} == {n: weight.shape for n, weight in after.items()}
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert any("layer" in name for name in moved)
    assert not any("embed" in name for name in moved)
    opened = open_checkpoint(str(output))
    assert opened.logits(opened.encode(ITEMS)) == pytest.approx(kept[0], abs=1e-5)


def adapter_rewards(model: Any, base: Path) -> list[float]:
    """Of the model with its adapters still apart."""
    opened = open_checkpoint(str(base))
    model.eval()
    with torch.inference_mode():
        rewards = [model(**_inputs(opened, entry)).logits.item() for entry in opened.encode(ITEMS)]
    model.train()
    return rewards


def _inputs(opened: Any, encoding: Any) -> dict[str, torch.Tensor]:
    batch = Collator(opened.format)([Example(encoding, encoding, 1.0, Target(1.0), "s")])
    del batch["labels"]
    return {name: tensor[:1] for name, tensor in batch.items()}


def test_starts_where_the_model_is(bert: Path) -> None:
    """B is zero at first: with adapters, and merged again, the very rewards of the model without."""
    opened = open_checkpoint(str(bert))
    encodings = opened.encode(ITEMS)
    before = opened.logits(encodings)
    again = merged(add_lora(opened.model, rank=4, alpha=8.0, dropout=0.0))
    assert type(again) is type(open_checkpoint(str(bert)).model)
    assert opened.logits(encodings) == before


def test_scale(bert: Path) -> None:
    """Merged weights are W + (α/r)·BA."""
    model = adapted(bert, rank=4, alpha=6.0)
    layer = plain(model).bert.encoder.layer[0].attention.self.query
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = layer.base_layer.weight + 6.0 / 4 * product
    torch.testing.assert_close(merged(model).bert.encoder.layer[0].attention.self.query.weight, expected)


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "modernbert", "llama"])
def test_what_is_trained(kind: str, tmp_path: Path) -> None:
    """A and B of the body's linear layers and all of the head, pooler and classifier; nothing else."""
    base = open_checkpoint(str(build_tiny_checkpoint(kind, tmp_path))).model
    beside = {name for name, _ in base.named_parameters() if not name.startswith(f"{base.base_model_prefix}.")}
    names = trained(plain(adapted(tmp_path)))
    adapters = {name for name in names if name.endswith((".lora_A.default.weight", ".lora_B.default.weight"))}
    assert adapters
    assert all(name.startswith(f"{base.base_model_prefix}.") for name in adapters)
    assert {name.replace(".modules_to_save.default", "") for name in names - adapters} == beside


def test_new_pooler_is_trained_in_full(bert: Path, tmp_path: Path) -> None:
    """A pooler that the source lacks starts at random: it is trained as the head is, not by an adapter."""
    headless = tmp_path / "headless"
    opened = open_checkpoint(str(bert))
    opened.model.bert.pooler = None
    opened.model.bert.save_pretrained(headless)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (headless / name).write_bytes((bert / name).read_bytes())
    base = open_checkpoint(str(headless), new_head=True)
    assert {"bert.pooler.dense.weight", "classifier.weight"} <= set(base.new_weights)
    model = add_lora(base.model, rank=2, alpha=4.0, dropout=0.0, new_weights=base.new_weights)
    pooler = {name for name in trained(model) if "pooler" in name}
    assert pooler
    assert not any("lora_" in name for name in pooler)
    run = settings(headless, write_jsonl(tmp_path / "d.jsonl", planted(16)), tmp_path / "run", lora_rank=2)
    assert "bert.pooler.dense.weight" in load_file(train(run, say=quiet).output / "model.safetensors")


def test_frozen_layers_get_no_adapters(bert: Path) -> None:
    """`--freeze-layers` with LoRA: adapters above only."""
    opened = open_checkpoint(str(bert))
    freeze_lowest(opened.model, 1)
    names = trained(add_lora(opened.model, rank=4, alpha=8.0, dropout=0.0))
    assert any(".layer.1." in name for name in names)
    assert not any(".layer.0." in name for name in names)


def test_named_targets(bert: Path) -> None:
    """Layers by the last part of their names; a name that no layer has is refused with those that there are."""
    names = {name for name in trained(adapted(bert, targets="query, value")) if "lora_" in name}
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in names} == {"query", "value"}
    with pytest.raises(TrainingError, match="called q_proj; there are dense, key, query, value"):
        adapted(bert, targets="query,q_proj")


def test_all_frozen(tmp_path: Path) -> None:
    """Nothing left to adapt is refused."""
    opened = open_checkpoint(str(build_tiny_checkpoint("llama", tmp_path)))
    freeze_lowest(opened.model, 2)
    with pytest.raises(TrainingError, match="all of the body's linear layers are frozen"):
        add_lora(opened.model, rank=4, alpha=8.0, dropout=0.0)


def test_record(bert: Path, data: Path, tmp_path: Path) -> None:
    """Record and run.json name the settings; without LoRA the record is silent about it; it is said how much trains."""
    said: list[str] = []
    changes = {"lora_rank": 4, "lora_alpha": 8, "lora_dropout": 0.1, "lora_targets": "query"}
    output = train(settings(bert, data, tmp_path / "run", epochs=0.2, **changes), say=said.append).output
    written = json.loads((output / TRAINING_RECORD).read_text())["training"]
    started = json.loads((output / "run.json").read_text())
    assert {name: written[name] for name in changes} == {name: started[name] for name in changes} == changes
    assert "LoRA: 545 of 50,210 weights are trained (1.09%)" in said[1]
    output = train(settings(bert, data, tmp_path / "plain", epochs=0.2), say=quiet).output
    assert "lora" not in (output / TRAINING_RECORD).read_text()


@pytest.mark.parametrize(
    ("stop", "saved", "changes"),
    [(7, 5, {}), (14, 10, {"gradient_checkpointing": True, "gradient_accumulation": 2})],
    ids=["first-epoch", "second-epoch-all"],
)
def test_resumed_run_is_the_same_run(
    bert: Path, data: Path, tmp_path: Path, *, stop: int, saved: int, changes: dict[str, Any]
) -> None:
    """Interrupted and resumed, with dropout in the adapters: the very bits of one that was not; adapters are saved."""
    common = {"epochs": 2, "save_steps": 5, "lora_rank": 4, "lora_dropout": 0.2} | changes
    parts = changes.get("gradient_accumulation", 1)
    common["batch_size"] = 8 // parts
    train(settings(bert, data, tmp_path / "whole", **common), say=quiet)
    count, real = itertools.count(1), PairTrainer.training_step

    def step(self: PairTrainer, *arguments: Any, **named: Any) -> Any:
        if next(count) > stop * parts:
            raise KeyboardInterrupt
        return real(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairTrainer, "training_step", step)
        with pytest.raises(KeyboardInterrupt):
            train(settings(bert, data, tmp_path / "cut", **common), say=quiet)
    newest = tmp_path / "cut" / "checkpoints" / f"checkpoint-{saved}"
    assert (newest / "adapter_model.safetensors").exists()
    assert not (newest / "model.safetensors").exists()
    train(settings(bert, data, tmp_path / "cut", resume=True, **common), say=quiet)
    assert same_bits(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_more_over_adapters(kind: str, tmp_path: Path) -> None:
    """MORE weighs by the head that is trained, not by the one that it started from."""
    base = build_tiny_checkpoint(kind, tmp_path / "base")
    model = adapted(base)
    head = find_head(plain(model))
    assert head.weight.requires_grad
    path = write_jsonl(tmp_path / "rows.jsonl", mixed(48))
    result = train(settings(base, path, tmp_path / "run", more=True, lora_rank=4), say=quiet)
    assert result.steps == 6
    assert 0 < open_checkpoint(str(result.output)).record.training["more_mean_lambda/small"] < 1


@pytest.mark.parametrize("changes", [{"lora_alpha": 8}, {"lora_dropout": 0.1}, {"lora_targets": "query"}])
def test_settings_without_effect(changes: dict[str, Any]) -> None:
    """Settings of LoRA without a rank do nothing: refused by name."""
    with pytest.raises(ValueError, match=f"{next(iter(changes))} has no effect without lora_rank"):
        settings(Path("m"), Path("d"), Path("o"), **changes)
