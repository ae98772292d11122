"""Models whose every reward proves which weights and which tokenizer made it: f(text) + 1000 k.

Version k has its own order of token ids, and weights that undo it. Weights of one version behind the tokenizer of
another give a number that no version gives. And candidates that something is wrong with, each in its own way.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from model_export.publish import write_version
from service.bundle.formats import PairFormat
from service.bundle.manifest import Fidelity, FileEntry, Golden, Manifest, Provenance, RewardStatistics
from service.bundle.pointer_writer import set_aliases, writer
from service.domain import ScoreItem

WORDS = tuple(f"w{index}" for index in range(64))
STEP = 1000.0
HANGS_ABOVE = 20.0
"""The value of a text; those of the golden inputs are smaller."""
_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
_FORMAT = PairFormat(max_length=64, start_ids=(1,), between_ids=(2,), end_ids=(2,), pad_id=0, token_types=False)
_GOLDEN = (ScoreItem("w1 w2", "w3"), ScoreItem("w9", "w10 w11 w12"), ScoreItem("w63", "w63"))


def value(item: ScoreItem) -> float:
    """f(text): exact in float32, and less than 1000 for all that fits."""
    return sum(int(word[1:]) + 1 for word in f"{item.prompt} {item.response}".split()) / 8


def stamp_of(item: ScoreItem, reward: float) -> int | None:
    """The version whose weights and tokenizer made a reward; None: no version did."""
    stamp, rest = divmod(reward - value(item), STEP)
    return int(stamp) if rest == 0 else None


def order(k: int) -> list[int]:
    """The token ids of `WORDS` in version k."""
    return [len(_SPECIAL) + int(place) for place in np.random.default_rng(k).permutation(len(WORDS))]


def tokenizer_json(k: int) -> bytes:
    """One id a word."""
    vocabulary = dict(zip((*_SPECIAL, *WORDS), (*range(len(_SPECIAL)), *order(k)), strict=True))
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    made: str = tokenizer.to_str()
    return made.encode()


def graph(k: int, *, last: Sequence[Any] = (), output: str = "stamped", constants: Sequence[Any] = ()) -> bytes:
    """An ONNX file: the sum of the words' values plus the stamp, then whatever `last` makes of it."""
    table = np.zeros((len(_SPECIAL) + len(WORDS), 1), np.float32)
    table[order(k), 0] = [(index + 1) / 8 for index in range(len(WORDS))]
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["values"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last_axis"], ["mask3"]),
        helper.make_node("Mul", ["values", "mask3"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "token_axis"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "stamp"], ["stamped"]),
        *last,
    ]
    weights = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([STEP * k], np.float32), "stamp"),
        numpy_helper.from_array(np.array([2], np.int64), "last_axis"),
        numpy_helper.from_array(np.array([1], np.int64), "token_axis"),
        *constants,
    ]
    names = ("input_ids", "attention_mask")
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "T"]) for name in names]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["B", 1])]
    made = helper.make_model(
        helper.make_graph(nodes, "stamped", inputs, outputs, weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    data: bytes = made.SerializeToString()
    return data


def nan_graph(k: int) -> bytes:
    """Every reward is 0 / 0."""
    zero = helper.make_node("Sub", ["stamped", "stamped"], ["zero"])
    return graph(k, last=[zero, helper.make_node("Div", ["zero", "zero"], ["bad"])], output="bad")


def constant_graph(k: int) -> bytes:
    """Every reward is 0."""
    return graph(k, last=[helper.make_node("Sub", ["stamped", "stamped"], ["zero"])], output="zero")


def bomb_graph(k: int) -> bytes:
    """A run wants 40,000 x 40,000 floats, 6.4 GB, of which the file says nothing."""
    return graph(
        k,
        last=[
            helper.make_node("ConstantOfShape", ["huge"], ["room"]),
            helper.make_node("ReduceMax", ["room"], ["most"], keepdims=0),
            helper.make_node("Add", ["stamped", "most"], ["bad"]),
        ],
        output="bad",
        constants=[numpy_helper.from_array(np.array([40_000, 40_000], np.int64), "huge")],
    )


def endless_graph(k: int) -> bytes:
    """A loop of 2^62 rounds."""
    return graph(
        k,
        last=[helper.make_node("Loop", ["rounds", "true", "stamped"], ["bad"], body=_endless_body())],
        output="bad",
        constants=[
            numpy_helper.from_array(np.array(2**62, np.int64), "rounds"),
            numpy_helper.from_array(np.array(True), "true"),
        ],
    )


def hanging_graph(k: int, *, rounds: int = 2**62) -> bytes:
    """As `graph`, but a call with a text whose value is above `HANGS_ABOVE` first loops for so many rounds."""
    return graph(
        k,
        last=[
            helper.make_node("ReduceMax", ["sum"], ["largest"], keepdims=0),
            helper.make_node("Greater", ["largest", "threshold"], ["poison"]),
            helper.make_node("Where", ["poison", "rounds", "none"], ["these"]),
            helper.make_node("Loop", ["these", "true", "stamped"], ["bad"], body=_endless_body()),
        ],
        output="bad",
        constants=[
            numpy_helper.from_array(np.array(HANGS_ABOVE, np.float32), "threshold"),
            numpy_helper.from_array(np.array(rounds, np.int64), "rounds"),
            numpy_helper.from_array(np.array(0, np.int64), "none"),
            numpy_helper.from_array(np.array(True), "true"),
        ],
    )


def greedy_graph(k: int) -> bytes:
    """As `graph`, but a call with a text whose value is above `HANGS_ABOVE` first wants 4 PB of memory."""
    return graph(
        k,
        last=[
            helper.make_node("ReduceMax", ["sum"], ["largest"], keepdims=0),
            helper.make_node("Greater", ["largest", "threshold"], ["poison"]),
            helper.make_node("Where", ["poison", "huge", "small"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["room"]),
            helper.make_node("ReduceMax", ["room"], ["most"], keepdims=0),
            helper.make_node("Add", ["stamped", "most"], ["bad"]),
        ],
        output="bad",
        constants=[
            numpy_helper.from_array(np.array(HANGS_ABOVE, np.float32), "threshold"),
            numpy_helper.from_array(np.array([2**25, 2**25], np.int64), "huge"),
            numpy_helper.from_array(np.array([1, 1], np.int64), "small"),
        ],
    )


def _endless_body() -> Any:
    """One round of a loop that changes nothing."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["carried"], ["carried_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried", TensorProto.FLOAT, ["B", 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("carried_on", TensorProto.FLOAT, ["B", 1]),
        ],
    )


def manifest_of(k: int, files: dict[str, bytes], *, model: str, reward: Callable[[ScoreItem], float]) -> Manifest:
    """What such a version says of itself."""
    places = order(k)
    golden = [
        Golden(
            prompt=str(item.prompt),
            response=item.response,
            token_ids=(
                1,
                *(places[int(word[1:])] for word in str(item.prompt).split()),
                2,
                *(places[int(word[1:])] for word in item.response.split()),
                2,
            ),
            reward=reward(item),
        )
        for item in _GOLDEN
    ]
    return Manifest(
        model=model,
        sequence=k + 1,
        parent=None,
        created="2026-01-01T00:00:00+00:00",
        objective="baseline",
        precision="fp32",
        input_format=_FORMAT,
        center=0.0,
        calibration=None,
        reward_statistics=RewardStatistics(count=1, mean=0.0, std=1.0, quantiles={"0.5": 0.0}),
        golden=tuple(golden),
        golden_tolerance=1e-3,
        fidelity=Fidelity(texts=1, reference="torch", max_abs_difference=0.0, spearman=1.0, accuracy_change=None),
        evaluation={},
        provenance=Provenance(source="stamped", plurality_version="0", training={}, data_sha256={}),
        files=tuple(_entry(name, data) for name, data in files.items()),
    )


def _entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def publish_stamped(store: Path, k: int, *, model: str = "stamped", aliases: Sequence[str] = ("stable",)) -> str:
    """Publish version k as a trainer would, and point the aliases at it; returns its digest."""
    files = {"model.onnx": graph(k), "tokenizer.json": tokenizer_json(k)}
    manifest = manifest_of(k, files, model=model, reward=lambda item: value(item) + STEP * k)
    with writer(store, model) as directory:
        digest = write_version(directory, manifest, files)
        set_aliases(directory, dict.fromkeys(aliases, digest))
    return digest


def plant(
    store: Path,
    k: int,
    files: dict[str, bytes],
    *,
    model: str = "stamped",
    alias: str = "stable",
    reward: Callable[[ScoreItem], float] | None = None,
) -> str:
    """Put a version into the store that the publisher would have refused, with honest digests; returns its digest."""
    data = {"model.onnx": graph(k), "tokenizer.json": tokenizer_json(k), **files}
    manifest = manifest_of(k, data, model=model, reward=reward or (lambda item: value(item) + STEP * k))
    content = manifest.to_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with writer(store, model) as directory:
        version = directory / "versions" / digest
        version.mkdir()
        for name, content_of in {**data, "manifest.json": content}.items():
            (version / name).write_bytes(content_of)
        set_aliases(directory, {alias: digest})
    return digest
