"""Gradient checkpointing changes no gradient, bf16 trains with its differences in fp32, fp16 is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_export.checkpoint import open_checkpoint
from plurality.training.config import checked_config
from plurality.training.errors import TrainingError
from plurality.training.head import find_head, keep_fp32
from plurality.training.train import train
from plurality.training.trainer import PairTrainer
from tests.plurality.training.data import mixed, same_bits, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint

REENTRANT = "use_reentrant"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", mixed(64))


def quiet(_: str) -> None:
    """Says nothing."""


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("deberta-v2", {}),
        ("modernbert", {"freeze_layers": 1}),
        ("llama", {}),
        ("bert", {"freeze_layers": 1}),
        ("bert", {"lora_rank": 4, "lora_dropout": 0.1}),
        ("llama", {"lora_rank": 4, "freeze_layers": 1}),
        ("bert", {"more": True, "gradient_accumulation": 2}),
    ],
    ids=str,
)
def test_checkpointing_changes_nothing(data: Path, tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    """The weights of a whole run, dropout included, are those of a run that keeps its activations."""
    base = build_tiny_checkpoint(kind, tmp_path / "base")
    counts = []
    for name, on in (("kept", False), ("again", True)):
        with pytest.MonkeyPatch.context() as patch:
            calls = _count_checkpoints(patch)
            train(settings(base, data, tmp_path / name, gradient_checkpointing=on, **changes), say=quiet)
        counts.append(len(calls))
        assert all(call == {REENTRANT: False} for call in calls)
    assert counts[0] == 0 < counts[1]
    kept, again = (load_file(tmp_path / name / "model.safetensors") for name in ("kept", "again"))
    for name in kept:
        torch.testing.assert_close(again[name], kept[name], atol=1e-6, rtol=0)


def _count_checkpoints(patch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """How torch's own checkpointing is called: the settings of each call."""
    calls: list[dict[str, Any]] = []
    real = torch.utils.checkpoint.checkpoint

    def checkpoint(*arguments: Any, **named: Any) -> Any:
        calls.append({key: value for key, value in named.items() if key == REENTRANT})
        return real(*arguments, **named)

    patch.setattr(torch.utils.checkpoint, "checkpoint", checkpoint)
    patch.setattr("transformers.modeling_utils.checkpoint", checkpoint)
    return calls


def test_model_without_checkpointing(bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that cannot is refused by name before anything is written."""
    kind = type(open_checkpoint(str(bert)).model)
    monkeypatch.setattr(kind, "supports_gradient_checkpointing", False)
    with pytest.raises(TrainingError, match=f"{kind.__name__} has no gradient checkpointing"):
        train(settings(bert, data, tmp_path / "run", gradient_checkpointing=True), say=quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{}, {"more": True}, {"lora_rank": 4}, {"gradient_checkpointing": True}], ids=str)
def test_bf16_trains(bert: Path, data: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """The body computes in bf16; head, rewards and losses do not; weights stay fp32."""
    seen: dict[str, set[torch.dtype]] = {"body": set(), "rewards": set(), "loss": set()}
    real = PairTrainer.compute_loss

    def compute_loss(self: PairTrainer, model: Any, inputs: Any, **named: Any) -> Any:
        head = find_head(self.accelerator.unwrap_model(model).base_model.model if "lora_rank" in changes else model)

        def see(_: Any, given: tuple[torch.Tensor], made: torch.Tensor) -> None:
            seen["body"].add(given[0].dtype)
            seen["rewards"].add(made.dtype)

        hook = head.register_forward_hook(see)
        result = real(self, model, inputs, **named)
        hook.remove()
        loss = result[0] if isinstance(result, tuple) else result
        assert bool(torch.isfinite(loss))
        seen["loss"].add(loss.dtype)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairTrainer, "compute_loss", compute_loss)
        result = train(settings(bert, data, tmp_path / "bf16", precision="bf16", **changes), say=quiet)
    assert seen == {"body": {torch.bfloat16}, "rewards": {torch.float32}, "loss": {torch.float32}}
    assert {weight.dtype for weight in load_file(result.output / "model.safetensors").values()} == {torch.float32}
    train(settings(bert, data, tmp_path / "fp32", **changes), say=quiet)
    assert not same_bits(tmp_path / "bf16", tmp_path / "fp32")


def test_small_differences_survive() -> None:
    """Two answers of rewards near 4 that differ by 1/100: bf16 makes them equal, the head kept in fp32 does not."""
    head = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(head.weight)
    torch.nn.init.zeros_(head.bias)
    input_21 = torch.tensor([[4.01], [4.0]])
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert float(-head(input_21).diff(dim=0)) == 0
        keep_fp32(head)
        assert float(-head(input_21).diff(dim=0)) == pytest.approx(0.01, abs=1e-5)


def test_bf16_rewards_tell_answers_apart(bert: Path, data: Path, tmp_path: Path) -> None:
    """Validation under bf16: rewards are no multiples of bf16's steps."""
    rewards: list[Any] = []
    real = PairTrainer.prediction_step

    def step(self: PairTrainer, *arguments: Any, **named: Any) -> Any:
        result = real(self, *arguments, **named)
        rewards.append(result[1])
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PairTrainer, "prediction_step", step)
        train(settings(bert, data, tmp_path / "run", validation=data, precision="bf16"), say=quiet)
    found = torch.cat(rewards)
    assert found.shape[1] == 2
    assert not torch.equal(found, found.bfloat16().float())


def test_fp32_after_bf16(bert: Path, data: Path, tmp_path: Path) -> None:
    """A run in fp32 is the same before and after one in bf16 in the same process: the library's setting is not kept."""
    for name, precision in (("before", "fp32"), ("between", "bf16"), ("after", "fp32")):
        train(settings(bert, data, tmp_path / name, precision=precision, epochs=0.5), say=quiet)
    assert same_bits(tmp_path / "before", tmp_path / "after")
    assert not same_bits(tmp_path / "before", tmp_path / "between")


def test_bf16_where_the_gpu_has_none(bert: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU without bf16 is refused by its name, with the cure."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    with pytest.raises(TrainingError, match="Old GPU has no bf16; leave --precision out"):
        train(settings(bert, data, tmp_path / "run", precision="bf16"), say=quiet)


def test_fp16_is_refused_with_the_reason() -> None:
    """fp16 says why not, DeBERTa's overflow among it, and what to take."""
    with pytest.raises(
        TrainingError, match=r"precision: fp16 is not offered: .*65504, DeBERTa's attention .* use bf16"
    ):
        checked_config(model="m", data=Path("d"), output=Path("o"), precision="fp16")
