"""Each distinct text once: its tokens, and what the frozen lower layers make of them, kept on disk.

An argument stands in some thirty pairs and every run reads it again; embeddings and lowest layers never change, so
their activations are computed once for all runs (float16, a memory map beside its index).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from model_export.checkpoint import open_checkpoint
from plurality.core.rows import PreferenceRow
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from research.preferences.store import read_json, replace_json
from research.preferences.top import padded, run_layer
from service.domain import Encoding, ScoreItem
from service.engine.backend import pad

_BATCH = 32
Text = tuple[Any, str]
"""Prompt or conversation, and response."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """N texts and their activations at one depth."""

    place: dict[str, int]
    """Text id -> index."""
    start: NDArray[np.int64]
    """First token of each text in `hidden`, shape [N + 1]."""
    hidden: NDArray[np.float16]
    """Shape [tokens, D]."""
    cut_share: float
    """Texts that were longer than the limit."""
    max_length: int
    depth: int

    def pairs(self, rows: Sequence[PreferenceRow]) -> NDArray[np.intp]:
        """Indices of both texts of each row, shape [B, 2]."""
        return np.array([[self.place[text_id(text)] for text in texts_of(row)] for row in rows], dtype=np.intp).reshape(
            -1, 2
        )

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, shape [N]."""
        return np.diff(self.start)

    def batch(self, texts: Sequence[int] | NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """Activations of some texts, padded, and their mask."""
        parts = [torch.from_numpy(self.hidden[self.start[i] : self.start[i + 1]].astype(np.float32)) for i in texts]
        return padded(parts)


def texts_of(row: PreferenceRow) -> tuple[Text, Text]:
    """Both texts of a row."""
    return (row.context, row.response_a), (row.context, row.response_b)


def text_id(text: Text) -> str:
    """Digest of prompt and response."""
    return hashlib.sha256(repr(text).encode()).hexdigest()[:20]


def build(rows: Iterable[PreferenceRow], folder: Path, *, max_length: int, depths: Sequence[int]) -> dict[int, Corpus]:
    """The corpus of all rows' texts at each depth (lowest layers run); made once, then read."""
    texts = {text_id(text): text for row in rows for text in texts_of(row)}
    identity = hashlib.sha256(f"{max_length}:{sorted(texts)}".encode()).hexdigest()[:16]
    home = folder / identity
    if not all(_index(home, depth).exists() for depth in depths):
        _make(texts, home, max_length=max_length, depths=depths)
    return {depth: _open(home, depth, max_length) for depth in depths}


def fresh_model(max_length: int) -> Any:
    """The demo's encoder with a new head, from torch's random numbers as they stand."""
    return open_checkpoint(resolve_model(DEMO_MODEL), max_length=max_length, new_head=True)


def _index(home: Path, depth: int) -> Path:
    return home / f"depth-{depth}.json"


def _open(home: Path, depth: int, max_length: int) -> Corpus:
    index = read_json(_index(home, depth))
    hidden = np.load(home / f"depth-{depth}.npy", mmap_mode="r")
    place = {identity: number for number, identity in enumerate(index["texts"])}
    return Corpus(place, np.array(index["start"]), hidden, index["cut_share"], max_length, depth)


@torch.inference_mode()
def _make(texts: dict[str, Text], home: Path, *, max_length: int, depths: Sequence[int]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    base = fresh_model(max_length)
    encodings = dict(zip(texts, base.encode([ScoreItem(*text) for text in texts.values()]), strict=True))
    order = sorted(texts, key=lambda identity: len(encodings[identity].ids))
    start = np.cumsum([0, *(len(encodings[identity].ids) for identity in order)])
    bert = base.model.bert
    maps = {
        depth: np.lib.format.open_memmap(
            home / f"depth-{depth}.npy", mode="w+", dtype=np.float16, shape=(int(start[-1]), bert.config.hidden_size)
        )
        for depth in depths
    }
    for first in tqdm(range(0, len(order), _BATCH), desc="activations", unit="batch"):
        chosen = order[first : first + _BATCH]
        for depth, parts in _activations(bert, [encodings[identity] for identity in chosen], depths):
            rows = slice(start[first], start[first + len(chosen)])
            maps[depth][rows] = torch.cat(parts).numpy().astype(np.float16)
    cut = sum(entry.cut_tokens > 0 for entry in encodings.values()) / len(encodings)
    for depth, values in maps.items():
        values.flush()
        replace_json(_index(home, depth), {"texts": order, "start": start.tolist(), "cut_share": cut})


def _activations(bert: Any, encodings: Sequence[Encoding], depths: Sequence[int]) -> Iterable[tuple[int, list[Tensor]]]:
    """Depth by depth, what `depth` layers make of each text, shape [T, D] each."""
    batch = pad(encodings, 0)
    ids_NT, types_NT = torch.from_numpy(batch.input_ids_BT), torch.from_numpy(batch.token_type_ids_BT)
    mask_NT = torch.from_numpy(batch.attention_mask_BT).bool()
    hidden_NTD = bert.embeddings(input_ids=ids_NT, token_type_ids=types_NT)
    for depth in range(max(depths) + 1):
        if depth:
            hidden_NTD = run_layer(bert.encoder.layer[depth - 1], hidden_NTD, mask_NT)
        if depth in depths:
            yield depth, [row_TD[mask_T] for row_TD, mask_T in zip(hidden_NTD, mask_NT, strict=True)]
