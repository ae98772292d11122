"""Runs batches on the engine: pads them, chooses a session, and makes rewards of the logits."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Protocol

import numpy as np
import onnxruntime as ort

from service.domain import Batch, Encoding, Float32, Int64, Outcome, Reward
from service.errors import InferenceFailed, NonFiniteReward

INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
"""Of a graph: those that `model_inputs` knows."""
Score = Callable[[Sequence[Encoding]], Sequence[Outcome]]
"""One engine call: an outcome a row, or an exception for all of them. Runs in a thread."""


class Backend(Protocol):
    """Runs batches of one model version. `run` blocks; the batcher calls it in a thread."""

    def run(self, batch: Batch) -> Float32:
        """Logits, float32 of shape [B], in the batch's order. Raises InferenceFailed."""
        ...

    def close(self) -> None:
        """Free the engine. Idempotent."""
        ...


def score(backend: Backend, encodings: Sequence[Encoding], *, pad_id: int, center: float) -> list[Outcome]:
    """Rewards of a batch, in one engine call; an item with a NaN or infinite logit has its own error.

    Args:
        center: subtracted from each logit.

    Raises:
        EngineError: the runtime failed; there is no reward for any of them.
    """
    logits = backend.run(pad(encodings, pad_id))
    return [_outcome(float(logit), center, encoding) for logit, encoding in zip(logits, encodings, strict=True)]


def _outcome(logit: float, center: float, encoding: Encoding) -> Outcome:
    if not math.isfinite(logit):
        return NonFiniteReward("the model answered a reward that is not a finite number")
    return Reward(logit - center, len(encoding.ids), encoding.cut_tokens)


def pad(encodings: Sequence[Encoding], pad_id: int) -> Batch:
    """Right-pad to the longest; mask 1 = token, 0 = padding."""
    width = max(len(encoding.ids) for encoding in encodings)
    shape = (len(encodings), width)
    input_ids_BT = np.full(shape, pad_id, dtype=np.int64)
    attention_mask_BT = np.zeros(shape, dtype=np.int64)
    token_type_ids_BT = np.zeros(shape, dtype=np.int64)
    for row, encoding in enumerate(encodings):
        count = len(encoding.ids)
        input_ids_BT[row, :count] = encoding.ids
        attention_mask_BT[row, :count] = 1
        token_type_ids_BT[row, encoding.second_segment : count] = 1
    return Batch(input_ids_BT, attention_mask_BT, token_type_ids_BT)


class OrtBackend:
    """One onnxruntime session of one model version, which `ort.py` opens. `run` may be called from several threads."""

    def __init__(self, session: ort.InferenceSession, *, bound: bool = False) -> None:
        """`bound`: run through IO binding, as on a GPU; otherwise through `session.run`."""
        self._session: ort.InferenceSession | None = session
        self._inputs = frozenset(entry.name for entry in session.get_inputs())
        self._output = session.get_outputs()[0].name
        self._engine_call = _run_bound if bound else _run_plain

    def run(self, batch: Batch) -> Float32:
        """Logits, float32 [B]. Raises InferenceFailed with the runtime's reason."""
        session = self._session
        if session is None:
            raise InferenceFailed("the model version is closed")
        try:
            logits = self._engine_call(session, self._output, model_inputs(batch, self._inputs))
        except Exception as error:  # noqa: BLE001 - the batch boundary: a failing run fails its items only
            raise InferenceFailed(f"onnxruntime failed: {brief(error)}") from None
        rows = batch.input_ids_BT.shape[0]
        if logits.shape not in {(rows, 1), (rows,)}:
            raise InferenceFailed(f"expected one logit an item, shape [{rows}, 1]; got {list(logits.shape)}")
        return np.asarray(logits, dtype=np.float32).reshape(rows)

    def close(self) -> None:
        """Drop the session. Idempotent."""
        self._session = None


class DualSessionBackend:
    """Runs a call on all cores when no other is running, else on the engine that shares the cores among workers.

    Under load every call but the first finds another one running, so throughput is that of the session with few
    threads; a lone request has the latency of the session with all cores.
    """

    def __init__(self, throughput: Backend, low_latency: Backend) -> None:
        self._throughput = throughput
        self._low_latency = low_latency
        self._running = 0
        self._counting = threading.Lock()

    def run(self, batch: Batch) -> Float32:
        """As `Backend.run`; may be called from several threads."""
        with self._counting:
            alone = self._running == 0
            self._running += 1
        try:
            return (self._low_latency if alone else self._throughput).run(batch)
        finally:
            with self._counting:
                self._running -= 1

    def close(self) -> None:
        """Free both. Idempotent."""
        self._throughput.close()
        self._low_latency.close()


def _run_plain(session: ort.InferenceSession, output: str, feed: Mapping[str, Int64]) -> Float32:
    logits: Float32 = session.run([output], dict(feed))[0]
    return logits


def _run_bound(session: ort.InferenceSession, output: str, feed: Mapping[str, Int64]) -> Float32:
    """One copy to the device for each input, when it is bound, and one back for the logits, when the run ends.

    The binding belongs to this call alone, so workers share only the session, whose runs are thread-safe: with two
    workers the next batch is padded and copied while the GPU runs the one before. The host buffers are numpy's, not
    pinned: onnxruntime's Python API allocates pinned memory only from an `OrtEpDevice`, and its CUDA provider is none
    unless it was built as a plugin (1.31). A batch is some 10 KB to 1 MB, so there is little to gain.
    """
    binding = session.io_binding()
    for name, values in feed.items():
        binding.bind_cpu_input(name, values)
    binding.bind_output(output, "cpu")
    session.run_with_iobinding(binding)
    logits: Float32 = binding.get_outputs()[0].numpy()
    return logits


def model_inputs(batch: Batch, names: Set[str]) -> dict[str, Int64]:
    """The arrays for a graph with these inputs, each [B, T]; positions count from the row's first token."""
    feed = {"input_ids": batch.input_ids_BT, "attention_mask": batch.attention_mask_BT}
    if "token_type_ids" in names:
        feed["token_type_ids"] = batch.token_type_ids_BT
    if "position_ids" in names:
        feed["position_ids"] = np.maximum(batch.attention_mask_BT.cumsum(axis=1) - 1, 0)
    return feed


def brief(error: BaseException) -> str:
    """The first line of a runtime's message, bounded."""
    return str(error).strip().split("\n", 1)[0][:300]
