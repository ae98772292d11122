"""Scores on someone else's server: a `Backend` that sends token ids over HTTP and reads the raw logit.

The server may be restarted at any time with other weights. So texts whose logits are known are scored before anything
else is believed: when it is opened, after every lost connection, and whenever `check` is called.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from service.domain import Batch, Float32, UpstreamKind
from service.errors import InferenceFailed, UpstreamChanged, UpstreamUnavailable

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_PATIENCE_S = 20.0
"""A call is tried again for so long while the server is full or away."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_CONNECTIONS = httpx.Limits(max_connections=64, max_keepalive_connections=64)
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Proof:
    """A text whose logit is known."""

    ids: tuple[int, ...]
    logit: float


@dataclass(frozen=True, slots=True)
class _Wire:
    """How one kind of server is asked for raw logits of token ids."""

    path: str
    body: Callable[[str, Sequence[Sequence[int]]], Mapping[str, Any]]
    rows: Callable[[Any], Sequence[Any]]
    """From the reply to a list of numbers for each text."""


class _Away(Exception):
    """The connection was refused or lost; or the server is full, and names the seconds after which to come back."""

    def __init__(self, reason: str, *, lost: bool, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.lost = lost
        self.after_s = after_s


def _classify(model: str, rows: Sequence[Sequence[int]]) -> Mapping[str, Any]:
    return {"model": model, "input": rows, "use_activation": False}


_CLASSIFY = _Wire("/classify", _classify, lambda reply: [entry["probs"] for entry in reply["data"]])
_WIRES: Mapping[UpstreamKind, _Wire] = {
    "vllm": _CLASSIFY,
    "plurality": _CLASSIFY,
    "sglang": _Wire(
        "/classify",
        lambda model, rows: {"model": model, "input_ids": rows},
        lambda reply: [entry["embedding"] for entry in reply],
    ),
}


class UpstreamBackend:
    """A reward model on another server. `run` and `check` may be called from several threads."""

    def __init__(
        self, kind: UpstreamKind, url: str, model: str, *, proofs: Sequence[Proof] = (), tolerance: float = 0.0
    ) -> None:
        """Nothing is sent yet.

        Args:
            model: its name there.
            proofs: what the server must answer before it is believed.
            tolerance: largest difference from a proof's logit.
        """
        self._wire = _WIRES[kind]
        self._model = model
        self._url = url
        self._proofs = proofs
        self._tolerance = tolerance
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT, limits=_CONNECTIONS)
        self._proven = not proofs
        self._proving = threading.Lock()

    def run(self, batch: Batch) -> Float32:
        """Logits, float32 [B].

        Raises:
            UpstreamUnavailable: it is away or full, for longer than a call waits.
            UpstreamChanged: it gives known texts other logits.
            InferenceFailed: it refuses these texts, or answers what is no logit for each.
        """
        counts = batch.attention_mask_BT.sum(axis=1)
        rows = [row[:count].tolist() for row, count in zip(batch.input_ids_BT, counts, strict=True)]
        return np.array(self._patiently(lambda: self._believed(rows)), dtype=np.float32)

    def check(self) -> None:
        """Score the known texts now, whatever was found before; raises as `run`."""
        self._proven = not self._proofs
        try:
            self._prove()
        except _Away as away:
            raise self._unavailable(away) from None

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._client.close()

    def _believed(self, rows: Sequence[Sequence[int]]) -> list[float]:
        if not self._proven:
            self._prove()
        return self._ask(rows)

    def _prove(self) -> None:
        with self._proving:
            if self._proven:
                return
            found = self._ask([proof.ids for proof in self._proofs])
            worst = max(abs(got - proof.logit) for got, proof in zip(found, self._proofs, strict=True))
            if worst > self._tolerance:
                raise UpstreamChanged(
                    f"the model behind {self._url} gives known texts other rewards, off by up to {worst:.3g} (at most "
                    f"{self._tolerance:.3g}): its weights changed; import it again"
                )
            self._proven = True

    def _patiently(self, call: Callable[[], list[float]]) -> list[float]:
        """Call again while the server is away or full, at growing intervals."""
        stop, pause_s = time.monotonic() + _PATIENCE_S, _FIRST_PAUSE_S
        while True:
            try:
                return call()
            except _Away as away:
                if away.lost:
                    self._proven = not self._proofs  # whoever answers next may be another
                wait_s = max(pause_s, min(away.after_s, _LONGEST_PAUSE_S))
                if time.monotonic() + wait_s > stop:
                    raise self._unavailable(away) from None
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _ask(self, rows: Sequence[Sequence[int]]) -> list[float]:
        try:
            reply = self._client.post(self._wire.path, json=self._wire.body(self._model, rows))
        except httpx.TransportError as error:
            raise _Away(type(error).__name__, lost=True) from None
        if reply.status_code in _BUSY:
            raise _Away(f"status {reply.status_code}", lost=False, after_s=_retry_after(reply))
        if not reply.is_success:
            raise InferenceFailed(f"the upstream server refuses the text with status {reply.status_code}")
        try:
            return _logits(self._wire.rows(reply.json()), len(rows))
        except (ValueError, KeyError, TypeError, IndexError):
            raise InferenceFailed("the upstream server's reply has no logit for each text") from None

    def _unavailable(self, away: _Away) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"the upstream server {self._url} does not answer ({away})")


def _logits(rows: Sequence[Any], expected: int) -> list[float]:
    """One number a text; NaN where the server says null: that text gets an error of its own."""
    if len(rows) != expected:
        raise ValueError
    found = []
    for row in rows:
        [value] = row  # a classifier with several labels is no reward model
        found.append(math.nan if value is None else float(value))
    return found


def _retry_after(reply: httpx.Response) -> float:
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0
