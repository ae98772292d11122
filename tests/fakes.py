"""Stand-ins for time and for the engine, where a test must script them. Everything else in the tests is real."""

import threading
from collections.abc import Callable

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from service.bundle.formats import PairFormat
from service.bundle.manifest import Fidelity, FileEntry, Golden, Manifest, Precision, Provenance, RewardStatistics
from service.bundle.open import LoadedModel
from service.bundle.tokenize import ItemTokenizer
from service.domain import Batch, Encoding, Float32
from service.engine.policy import Cell, CostModel
from service.errors import InferenceFailed

FORMAT = PairFormat(max_length=64, start_ids=(1,), between_ids=(2,), end_ids=(2,), pad_id=0, token_types=True)
BATCHING_PAYS = CostModel([Cell(b, n, 0.01) for b in (1, 8) for n in (1, 64)], max_items=8, max_tokens=64)
"""A call takes the same time whatever is in it."""
POISON = 666
"""A token that makes the scripted engine fail."""
NAN = 667
"""A token that makes it answer NaN for that item."""


class ManualClock:
    """Time that moves when the test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class ScriptedBackend:
    """Reward = sum of the token ids; can be held, and fails on POISON. Remembers every batch."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.closed = False
        self.on_run: Callable[[Batch], None] = lambda batch: None

    def run(self, batch: Batch) -> Float32:
        rows = [
            tuple(int(token) for token in row[: int(mask.sum())])
            for row, mask in zip(batch.input_ids_BT, batch.attention_mask_BT, strict=True)
        ]
        self.batches.append(rows)
        self.entered.release()
        self.gate.wait(30)
        self.on_run(batch)
        if any(POISON in row for row in rows):
            raise InferenceFailed("poisoned")
        return np.array([np.nan if NAN in row else sum(row) for row in rows], dtype=np.float32)

    def close(self) -> None:
        self.closed = True

    @property
    def executed(self) -> list[tuple[int, ...]]:
        """Every row that ever ran, in order."""
        return [row for batch in self.batches for row in batch]


def encoding(*ids: int) -> Encoding:
    """An encoding of exactly these ids."""
    return Encoding(tuple(ids), len(ids), 0)


def manifest(*, precision: Precision = "fp32", center: float = 0.0) -> Manifest:
    """A small valid manifest."""
    return Manifest(
        model="fake",
        sequence=1,
        parent=None,
        created="2026-01-01T00:00:00+00:00",
        objective="baseline",
        precision=precision,
        input_format=FORMAT,
        center=center,
        calibration=None,
        reward_statistics=RewardStatistics(count=1, mean=0.0, std=1.0, quantiles={"0.5": 0.0}),
        golden=(Golden(prompt="a", response="b", token_ids=(1, 2), reward=0.0),),
        golden_tolerance=1e-4,
        fidelity=Fidelity(texts=1, reference="torch", max_abs_difference=0.0, spearman=1.0, accuracy_change=None),
        evaluation={},
        provenance=Provenance(source="test", plurality_version="0", training={}, data_sha256={}),
        files=tuple(FileEntry(name=name, size=0, sha256="0" * 64) for name in ("model.onnx", "tokenizer.json")),
    )


def word_tokenizer(words: str = "a b c d e f g") -> ItemTokenizer:
    """One id a word, unknown words are 3."""
    vocab = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3} | {w: i for i, w in enumerate(words.split(), start=4)}
    tokenizer = Tokenizer(WordLevel(vocab, unk_token="[UNK]"))
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer.pre_tokenizer = WhitespaceSplit()
    return ItemTokenizer.from_json(tokenizer.to_str(), FORMAT)


def loaded(backend: ScriptedBackend, *, precision: Precision = "fp32", center: float = 0.0) -> LoadedModel:
    """A model whose engine is scripted."""
    return LoadedModel("0" * 64, manifest(precision=precision, center=center), word_tokenizer(), backend)
