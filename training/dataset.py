"""Rows to token ids, through the tokeniser that will serve, and batches for the trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from service.domain import Encoding
from service.repository.formats import PairFormat
from service.runtime.backend import pad
from service.tokenise import Tokeniser
from training.errors import BadRow, DataError
from training.objectives import Objective, margins_for
from training.rows import PreferenceRow


@dataclass(frozen=True, slots=True)
class Example:
    """One encoded pair."""

    a: Encoding
    b: Encoding
    label: float
    margin: float


class PairDataset(Dataset[Any]):
    """Encoded pairs. `cut` counts responses that had to be cut to max_length."""

    def __init__(
        self, rows: Sequence[PreferenceRow], tokeniser: Tokeniser, objective: Objective, *, source: str
    ) -> None:
        margins = margins_for(objective, list(rows), source=source)
        encoded = tokeniser.encode([item for row in rows for item in row.as_pair().items])
        bad: dict[int, BadRow] = {}
        for i, entry in enumerate(encoded):
            if not isinstance(entry, Encoding):
                bad.setdefault(i // 2, BadRow(i // 2 + 1, entry.message))
        if bad:
            raise DataError(source, list(bad.values()))
        good = [entry for entry in encoded if isinstance(entry, Encoding)]
        self.examples = [Example(good[2 * i], good[2 * i + 1], row.label, margins[i]) for i, row in enumerate(rows)]
        self.cut = sum(entry.cut_tokens > 0 for entry in good)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pair's longer side: what a batch is padded to."""
        return [max(len(example.a), len(example.b)) for example in self.examples]


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads all a's, then all b's, into one batch of 2B rows."""

    format: Any

    def __call__(self, examples: Sequence[Example]) -> dict[str, torch.Tensor]:
        batch = pad([e.a for e in examples] + [e.b for e in examples], self.format.pad_id)
        tensors = {
            "input_ids": torch.from_numpy(batch.input_ids_BT),
            "attention_mask": torch.from_numpy(batch.attention_mask_BT),
            "labels": torch.tensor([[e.label, e.margin] for e in examples], dtype=torch.float32),
        }
        if isinstance(self.format, PairFormat) and self.format.token_types:
            tensors["token_type_ids"] = torch.from_numpy(batch.token_type_ids_BT)
        return tensors
