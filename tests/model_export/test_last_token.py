"""A decoder's reward is read where torch reads it: whatever pads, on whichever side, beside whatever neighbors."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from model_export.checkpoint import open_checkpoint
from model_export.errors import UnsupportedModel
from model_export.pipeline import Target, export
from model_export.pooling import pool_by_mask
from model_export.verify import run_backend
from service.bundle.formats import ChatFormat
from service.bundle.open import load_model, score_now
from service.bundle.store import version_directory
from service.domain import Message, Reward, ScoreItem
from tests.tiny import build_tiny_checkpoint

TALK = (Message("user", "the first"), Message("assistant", "an answer."), Message("user", "the second"))
ITEMS = [
    ScoreItem("short", "a"), ScoreItem("short", ""), ScoreItem("the question", "the answer is this. " * 40),
    ScoreItem(TALK, "and that\n"), ScoreItem("long words " * 100, "no"),
]  # fmt: skip


def rewrite(directory: Path, *, side: str, pad: str | None, config_pad: str | None, end: str = "") -> None:
    """Publish the tiny model with these padding habits; `end` closes the template."""
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    tokenizer.padding_side, tokenizer.pad_token = side, getattr(tokenizer, pad) if pad else None
    tokenizer.chat_template += end
    tokenizer.save_pretrained(directory)
    config = json.loads((directory / "config.json").read_text())
    config["pad_token_id"] = getattr(tokenizer, config_pad) if config_pad else None
    (directory / "config.json").write_text(json.dumps(config))


def rewards_of_torch(directory: Path) -> list[float]:
    """Hugging Face's own words: the published model on one conversation after the other, no padding anywhere."""
    tokenizer = hf.AutoTokenizer.from_pretrained(directory)
    model = hf.AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float64).eval()
    found = []
    for item in ITEMS:
        turns = (Message("user", item.prompt),) if isinstance(item.prompt, str) else item.prompt
        messages: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in turns]
        ids = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": item.response}])
        with torch.inference_mode():
            found.append(float(model(torch.tensor([ids])).logits[0, 0]))
    return found


@pytest.mark.export
@pytest.mark.parametrize(
    ("kind", "side", "pad", "config_pad", "end"),
    [
        ("llama", "left", "eos_token", None, ""),
        ("llama", "right", "eos_token", "eos_token_id", ""),
        ("llama", "left", "pad_token", "pad_token_id", ""),
        ("llama", "right", None, None, ""),
        ("qwen3", "right", "eos_token", None, ""),
        ("qwen3", "left", "eos_token", "eos_token_id", "{{ eos_token }}"),
        ("qwen3", "left", "eos_token", None, "{{ eos_token }}"),
        ("qwen3", "right", "pad_token", "pad_token_id", ""),
    ],
)
def test_the_reward_is_torchs(
    kind: str, side: str, pad: str | None, config_pad: str | None, end: str, tmp_path: Path
) -> None:
    """Alone, and in a batch with longer neighbors, to 1e-5; also where padding is the token that ends the text."""
    directory = build_tiny_checkpoint(kind, tmp_path / "model")
    rewrite(directory, side=side, pad=pad, config_pad=config_pad, end=end)
    expected = np.array(rewards_of_torch(directory))
    allowed = 1e-5 * np.maximum(1.0, np.abs(expected))
    checkpoint = open_checkpoint(str(directory))
    encodings = checkpoint.encode(ITEMS)
    assert (np.abs(np.array(checkpoint.logits(encodings, double=True)) - expected) <= allowed).all()
    [published] = export(checkpoint, Target(tmp_path / "store", "m", ("fp32",)), say=lambda _: None)
    model = load_model(version_directory(tmp_path / "store", "m", published.digest))
    with closing(model.backend):
        batched = run_backend(model.backend, encodings, model.pad_id, alone=False)
        served = np.array([o.value for o in score_now(model, ITEMS) if isinstance(o, Reward)])
    assert (np.abs(batched - expected) <= allowed).all()
    assert (np.abs(served + published.manifest.center - expected) <= allowed).all()
    assert np.ptp(expected) > 0.1


def test_padding_in_no_vocabulary(tmp_path: Path) -> None:
    """`pad_token_id: -1`, as some publish: never a token, so the last token is pooled."""
    directory = build_tiny_checkpoint("llama", tmp_path)
    rewrite(directory, side="right", pad="eos_token", config_pad=None)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"pad_token_id": -1}))
    checkpoint = open_checkpoint(str(directory))
    found = checkpoint.logits(checkpoint.encode(ITEMS), double=True)
    assert found == pytest.approx(rewards_of_torch(directory), abs=1e-5)


def test_trained_heads_pad_with_what_ends_no_text(tmp_path: Path) -> None:
    """A head that is trained here gets a padding token that no conversation ends with, and its file says so."""
    directory = build_tiny_checkpoint("llama", tmp_path / "a")
    rewrite(directory, side="right", pad="eos_token", config_pad=None)
    checkpoint = open_checkpoint(str(directory), new_head=True)
    assert isinstance(checkpoint.format, ChatFormat)
    pad_id = checkpoint.format.pad_id
    assert checkpoint.model.config.pad_token_id == pad_id
    assert all(encoding.ids[-1] != pad_id for encoding in checkpoint.encode(ITEMS))


def test_a_head_that_pools_in_its_own_way() -> None:
    """No padding token and no linear head on the last state: refused with the cure."""
    with pytest.raises(UnsupportedModel, match="Module pools in a way of its own; set pad_token_id"):
        pool_by_mask(torch.nn.Module())
