"""The ONNX file behind two peers: tokenize pairs, pad to the batch's longest, run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


class PairModel:
    """A tokenizer and one session. Both calls may be made in a thread."""

    def __init__(self, checkpoint: Path, onnx: Path, threads: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        self._tokenizer.enable_truncation(config["max_position_embeddings"])
        self._tokenizer.no_padding()
        self._pad_id: int = config["pad_token_id"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Spinning threads take the cores that tokenizing and HTTP need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def encode(self, pairs: Sequence[Sequence[str]]) -> list[Any]:
        """Encodings of (prompt, response) pairs, unpadded."""
        encodings: list[Any] = self._tokenizer.encode_batch_fast([(prompt, response) for prompt, response in pairs])
        return encodings

    def run(self, encodings: Sequence[Any]) -> list[float]:
        """Rewards of one batch."""
        shape = (len(encodings), max(len(encoding) for encoding in encodings))
        input_ids_BT = np.full(shape, self._pad_id, dtype=np.int64)
        attention_mask_BT = np.zeros(shape, dtype=np.int64)
        token_type_ids_BT = np.zeros(shape, dtype=np.int64)
        for row, encoding in enumerate(encodings):
            count = len(encoding)
            input_ids_BT[row, :count] = encoding.ids
            attention_mask_BT[row, :count] = 1
            token_type_ids_BT[row, :count] = encoding.type_ids
        feed = {
            "input_ids": input_ids_BT,
            "attention_mask": attention_mask_BT,
            "token_type_ids": token_type_ids_BT,
        }
        rewards: list[float] = self._session.run(None, feed)[0][:, 0].tolist()
        return rewards
