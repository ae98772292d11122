"""A reward model that likes long answers, and a policy that may find out. The model is a real version of a real store.

Its graph is written by hand: reward = 0.05 × tokens + sin(sum of the ids), the last as good as noise.
"""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from model_export.bundle import golden_inputs, reward_statistics
from model_export.publish import next_sequence, read_manifest, write_version
from service.bundle.manifest import FileEntry
from service.bundle.open import MODEL_FILE, TOKENIZER_FILE, LoadedModel, open_tokenizer, score_now
from service.bundle.pointer_writer import set_aliases, writer
from service.domain import Encoding, Reward, ScoreItem
from service.engine.ort import open_session

WORDS = ("the", "a", "cat", "dog", "sees", "finds", "likes", "old", "new", "house", "river", "and", "or", "then", "why")


class Policy:
    """Groups of answers of random words, their number spread about a mean that the test moves."""

    def __init__(self, *, seed: int, mean_words: float = 40.0) -> None:
        self._random = np.random.default_rng(seed)
        self.mean_words = mean_words

    def group(self, size: int = 8) -> tuple[str, list[str]]:
        """A prompt and answers to it."""
        return self._text(8), [self._text(self._words()) for _ in range(size)]

    def items(self, count: int) -> Iterator[ScoreItem]:
        """Single answers, each with its prompt."""
        for _ in range(count):
            prompt, [answer] = self.group(1)
            yield ScoreItem(prompt, answer)

    def _words(self) -> int:
        return max(1, round(self._random.normal(self.mean_words, self.mean_words / 4)))

    def _text(self, words: int) -> str:
        return " ".join(self._random.choice(WORDS, words))


def publish_length_model(store: Path) -> str:
    """Publish it as `tiny`, alias `stable`, with a policy's first answers as reference set; returns the digest."""
    with writer(store, "tiny") as directory:
        source = next((directory / "versions").iterdir())
        before = read_manifest(source)
        files = {MODEL_FILE: _graph(), TOKENIZER_FILE: (source / TOKENIZER_FILE).read_bytes()}
        tokenizer = open_tokenizer(files[TOKENIZER_FILE], before.input_format)
        items = list(Policy(seed=1).items(1000))
        with closing(open_session(files[MODEL_FILE], external={}, device="cpu", threads=1)) as backend:
            model = LoadedModel("", before.model_copy(update={"center": 0.0}), tokenizer, backend)
            rewards = np.array([outcome.value for outcome in score_now(model, items) if isinstance(outcome, Reward)])
        encodings = [entry for entry in tokenizer.encode(items) if isinstance(entry, Encoding)]
        center = float(rewards.mean())
        manifest = before.model_copy(
            update={
                "sequence": next_sequence(directory),
                "center": center,
                "calibration": None,
                "reward_statistics": reward_statistics(rewards - center),
                "golden": golden_inputs(items, encodings, rewards - center),
                "files": tuple(
                    FileEntry(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
                    for name, data in files.items()
                ),
            }
        )
        digest = write_version(directory, manifest, files)
        set_aliases(directory, {"stable": digest})
    return digest


def _graph() -> bytes:
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in names]
    numbers = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("per_token", TensorProto.FLOAT, [1], [0.05]),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["attention_mask", "axis"], ["tokens"], keepdims=1),
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["own"]),
        helper.make_node("ReduceSum", ["own", "axis"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["sum"], ["angle"], to=TensorProto.FLOAT),
        helper.make_node("Sin", ["angle"], ["noise"]),
        helper.make_node("Cast", ["tokens"], ["length"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["length", "per_token"], ["paid"]),
        helper.make_node("Add", ["paid", "noise"], ["logits"]),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 1])]
    graph = helper.make_graph(nodes, "length", inputs, outputs, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
