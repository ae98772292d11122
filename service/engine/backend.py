"""The engine, as the rest of the service sees it, and the padding that every engine needs."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from service.domain import Batch, Encoding, Float32


class Backend(Protocol):
    """Runs batches of one model version. `run` blocks; the batcher calls it in a thread."""

    def run(self, batch: Batch) -> Float32:
        """Logits, float32 of shape [B], in the batch's order. Raises InferenceFailed."""
        ...

    def close(self) -> None:
        """Free the engine. Idempotent."""
        ...


def pad(encodings: Sequence[Encoding], pad_id: int) -> Batch:
    """Right-pad to the longest; mask 1 = token, 0 = padding."""
    width = max(len(encoding) for encoding in encodings)
    shape = (len(encodings), width)
    input_ids_BT = np.full(shape, pad_id, dtype=np.int64)
    attention_mask_BT = np.zeros(shape, dtype=np.int64)
    token_type_ids_BT = np.zeros(shape, dtype=np.int64)
    for row, encoding in enumerate(encodings):
        count = len(encoding)
        input_ids_BT[row, :count] = encoding.ids
        attention_mask_BT[row, :count] = 1
        token_type_ids_BT[row, encoding.second_segment : count] = 1
    return Batch(input_ids_BT, attention_mask_BT, token_type_ids_BT)
