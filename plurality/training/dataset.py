"""Rows to token ids, through the tokenizer that will serve, and batches for the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.data import Dataset

from plurality.core.rows import PreferenceRow
from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.margins import contradicted, judged_share
from plurality.training.objectives import PADDING
from plurality.training.targets import ObjectiveSpec, Target, targets_for
from service.bundle.formats import PairFormat
from service.bundle.tokenize import ItemTokenizer
from service.domain import Encoding
from service.engine.backend import pad


@dataclass(frozen=True, slots=True)
class Example:
    """One encoded pair."""

    a: Encoding
    b: Encoding
    label: float
    target: Target
    source: str | None
    """None: the pair only fills a batch, see `PaddedSampler`."""


class PairDataset(Dataset[Any]):
    """Encoded pairs. `cut` counts responses that had to be cut to max_length.

    Args:
        keep_dropped: validate on them too: dropping hard pairs would only flatter the accuracy.
    """

    def __init__(
        self,
        rows: Sequence[PreferenceRow],
        tokenizer: ItemTokenizer,
        spec: ObjectiveSpec,
        *,
        source: str,
        keep_dropped: bool = False,
    ) -> None:
        targets = targets_for(spec, list(rows), source=source)
        good = _encode(rows, tokenizer, source)
        self.examples = [
            Example(good[2 * i], good[2 * i + 1], row.label, targets[i], row.source)
            for i, row in enumerate(rows)
            if keep_dropped or targets[i].keep
        ]
        if not self.examples:
            raise TrainingError(f"{source}: the judges contradict every label, so that drop leaves no pairs")
        self.cut = sum(entry.cut_tokens > 0 for entry in good)
        self.dropped = len(rows) - len(self.examples)
        self.judged = sum(judged_share(row) is not None for row in rows)
        self.contradicted = sum(map(contradicted, rows))
        self.sources = tuple(sorted({example.source for example in self.examples if example.source is not None}))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        """Pair `index`; from the length on the pairs once more, as padding."""
        if index < len(self.examples):
            return self.examples[index]
        return replace(self.examples[index - len(self.examples)], source=None)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pair's longer side: what a batch is padded to."""
        return [max(len(example.a.ids), len(example.b.ids)) for example in self.examples]

    @property
    def source_ids(self) -> list[int]:
        """Of each pair, the place of its source in `sources`."""
        place = {name: index for index, name in enumerate(self.sources)}
        return [place[example.source] for example in self.examples if example.source is not None]


def _encode(rows: Sequence[PreferenceRow], tokenizer: ItemTokenizer, source: str) -> list[Encoding]:
    encoded = tokenizer.encode([item for row in rows for item in row.pair.items])
    bad: dict[int, BadRow] = {}
    for i, entry in enumerate(encoded):
        if not isinstance(entry, Encoding):
            bad.setdefault(i // 2, BadRow(i // 2 + 1, entry.message))
    if bad:
        raise DataError(source, list(bad.values()))
    return [entry for entry in encoded if isinstance(entry, Encoding)]


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads all a's, then all b's, into one batch of 2B rows; `labels` are the columns of `PairTargets`."""

    format: Any
    sources: Sequence[str] = ()
    """Of the training set first; the source of a pair that is none of them is -1."""

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch = pad([e.a for e in examples] + [e.b for e in examples], self.format.pad_id)
        tensors = {
            "input_ids": torch.from_numpy(batch.input_ids_BT),
            "attention_mask": torch.from_numpy(batch.attention_mask_BT),
            "labels": torch.tensor([self._columns(example) for example in examples], dtype=torch.float32),
        }
        if isinstance(self.format, PairFormat) and self.format.token_types:
            tensors["token_type_ids"] = torch.from_numpy(batch.token_type_ids_BT)
        return tensors

    def _columns(self, example: Example) -> tuple[float, float, float, float, int]:
        target, source = example.target, example.source
        place = PADDING if source is None else self.sources.index(source) if source in self.sources else -1
        return example.label, target.target, target.margin, target.weight, place
