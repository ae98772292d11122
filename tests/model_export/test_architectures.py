"""The export path on every architecture: format as the Hugging Face tokenizer has it, rewards as torch has them."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from model_export.sample_texts import sample_items
from model_export.verify import run_backend
from service.bundle.open import load_model, score_now
from service.bundle.store import version_directory
from service.domain import Message, Reward, ScoreItem
from tests.tiny import CHAT_KINDS, KINDS, PAIR_KINDS, build_tiny_checkpoint

pytestmark = pytest.mark.export
ODD = [
    ScoreItem("", ""), ScoreItem("same", "same"), ScoreItem("same", "same"), ScoreItem("long " * 900, "tail " * 900),
    ScoreItem("東京 🙂", "e\u0301\u202e"), ScoreItem("a", "b\n\nc  d"),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_scores_as_torch_does(kind: str, tmp_path: Path) -> None:
    """On 240 texts of every length the published file, alone and in batches, agrees with torch to 1e-5."""
    checkpoint = open_checkpoint(str(build_tiny_checkpoint(kind, tmp_path / "model")))
    [published] = export(checkpoint, Target(tmp_path / "store", "m", ("fp32",)), say=lambda _: None)
    items = [*sample_items(240, seed=3), *ODD]
    encodings = checkpoint.encode(items)
    expected = np.array(checkpoint.logits(encodings, double=True))
    allowed = 1e-5 * np.maximum(1.0, np.abs(expected))
    model = load_model(version_directory(tmp_path / "store", "m", published.digest))
    with closing(model.backend):
        alone = np.array([o.value for o in score_now(model, items) if isinstance(o, Reward)])
        batched = run_backend(model.backend, encodings, model.pad_id, alone=False)
    assert (np.abs(alone - expected) <= allowed).all()
    assert (np.abs(batched - expected) <= allowed).all()
    assert (np.abs(batched - alone) <= allowed).all()
    assert expected.std() > 0.1
    assert published.manifest.calibration is None
    assert str(tmp_path) not in published.manifest.to_bytes().decode()


@pytest.mark.parametrize("kind", PAIR_KINDS)
def test_pairs_are_those_of_the_tokenizer(kind: str, tmp_path: Path) -> None:
    """Token ids equal tokenizer(prompt, response); only an empty response differs, there it drops the pair."""
    directory = str(build_tiny_checkpoint(kind, tmp_path))
    checkpoint, tokenizer = open_checkpoint(directory), AutoTokenizer.from_pretrained(directory)
    for item in [*sample_items(30), ScoreItem("", "a")]:
        if item.characters < 400 and item.response:
            [encoding] = checkpoint.encode([item])
            assert list(encoding.ids) == tokenizer(str(item.prompt), item.response)["input_ids"]


@pytest.mark.parametrize("kind", CHAT_KINDS)
def test_chats_are_those_of_the_template(kind: str, tmp_path: Path) -> None:
    """Token ids equal apply_chat_template, with a system message and with several turns; one BOS, never two."""
    directory = str(build_tiny_checkpoint(kind, tmp_path))
    checkpoint, tokenizer = open_checkpoint(directory), AutoTokenizer.from_pretrained(directory)
    question, answer = Message("user", " What?\n"), "This, \n\nand that. "
    talks: list[tuple[Message, ...]] = [
        (question,),
        (Message("system", "Be brief."), question),
        (question, Message("assistant", "Well."), question),
    ]
    for talk in talks:
        messages: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in talk]
        expected = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": answer}], tokenize=True)
        [encoding] = checkpoint.encode([ScoreItem(talk, answer)])
        assert list(encoding.ids) == expected
    if tokenizer.bos_token_id is not None:
        assert encoding.ids.count(tokenizer.bos_token_id) == 1
