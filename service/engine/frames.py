"""The messages between a service and an engine process: how each is written to bytes and read back. Pure.

A frame is its length (4 bytes, without itself), its kind (1 byte) and its payload; all numbers little-endian. Items,
results and cancellations are packed numbers; the few control messages are JSON. Nothing is ever unpickled: a process
that native code has damaged can at worst send numbers.
"""

import json
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from plurality.core.errors import PluralityError
from service.domain import Encoding, Outcome, Reward
from service.errors import DeadlineExceeded, Draining, InferenceFailed, NonFiniteReward

_HEAD = struct.Struct("<IB")
_SUBMIT = struct.Struct("<QdIII")
"""Number, deadline, start of the second segment, cut tokens, token count; the token ids follow, 4 bytes each."""
_REWARD = struct.Struct("<QBdII")
"""Number, 0, reward, tokens, cut tokens."""
_FAILURE = struct.Struct("<QBI")
"""Number, place in `_FAILURES`, length of the message, which follows in UTF-8."""
_FAILURES: tuple[type[PluralityError], ...] = (
    PluralityError, InferenceFailed, NonFiniteReward, DeadlineExceeded, Draining,
)  # fmt: skip
"""By place. 0 stands for a reward, so the first entry is never read."""
_MOST_BYTES = 2**30


class Kind(IntEnum):
    """What a frame is."""

    CONTROL = 0
    """JSON, either way: a command and its answer."""
    SUBMIT = 1
    """To the engine: items to score."""
    CANCEL = 2
    """To the engine: numbers of items that nobody waits for any more."""
    RESULTS = 3
    """From the engine: outcomes."""
    OBSERVED = 4
    """From the engine, JSON: what the scheduler did, for the metrics."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An item to score, under the number that its outcome will carry."""

    number: int
    encoding: Encoding
    deadline: float
    """Seconds of CLOCK_MONOTONIC, which all processes of a machine share."""


def frame(kind: Kind, payload: bytes) -> bytes:
    """A whole frame."""
    return _HEAD.pack(1 + len(payload), kind) + payload


class FrameReader:
    """Cuts the bytes of a stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, memoryview]]:
        """Add bytes; iterate over the frames that are whole now. A payload is valid until the next one is asked for.

        Raises:
            ValueError: these are no frames.
        """
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= _HEAD.size:
                length, kind = _HEAD.unpack_from(self._buffer, start)
                if not 1 <= length <= _MOST_BYTES:
                    raise ValueError(f"a frame of {length} bytes")
                end = start + _HEAD.size - 1 + length
                if len(self._buffer) < end:
                    break
                with memoryview(self._buffer) as whole, whole[start + _HEAD.size : end] as payload:
                    yield Kind(kind), payload
                start = end
        finally:
            del self._buffer[:start]


def pack_control(message: dict[str, Any], kind: Kind = Kind.CONTROL) -> bytes:
    """A frame of JSON."""
    return frame(kind, json.dumps(message, separators=(",", ":")).encode())


def read_control(payload: memoryview) -> dict[str, Any]:
    """The message of a frame of JSON."""
    message: dict[str, Any] = json.loads(bytes(payload))
    return message


def pack_submissions(items: Iterable[Submission]) -> bytes:
    """A frame of items."""
    parts = []
    for item in items:
        encoding = item.encoding
        count = len(encoding.ids)
        parts.append(_SUBMIT.pack(item.number, item.deadline, encoding.second_segment, encoding.cut_tokens, count))
        parts.append(array("I", encoding.ids).tobytes())
    return frame(Kind.SUBMIT, b"".join(parts))


def read_submissions(payload: memoryview) -> Iterator[Submission]:
    """The items of a frame."""
    place = 0
    while place < len(payload):
        number, deadline, second_segment, cut_tokens, count = _SUBMIT.unpack_from(payload, place)
        place += _SUBMIT.size
        ids = array("I")
        ids.frombytes(payload[place : place + 4 * count])
        place += 4 * count
        yield Submission(number, Encoding(tuple(ids), second_segment, cut_tokens), deadline)


def pack_numbers(numbers: Sequence[int]) -> bytes:
    """A frame of the numbers of cancelled items."""
    return frame(Kind.CANCEL, array("Q", numbers).tobytes())


def read_numbers(payload: memoryview) -> tuple[int, ...]:
    """The numbers of a frame."""
    numbers = array("Q")
    numbers.frombytes(payload)
    return tuple(numbers)


def pack_results(results: Iterable[tuple[int, Outcome]]) -> bytes:
    """A frame of outcomes by number."""
    parts = []
    for number, outcome in results:
        if isinstance(outcome, Reward):
            parts.append(_REWARD.pack(number, 0, outcome.value, outcome.tokens, outcome.cut_tokens))
        else:
            message = outcome.message.encode()
            parts.append(_FAILURE.pack(number, _failure(outcome), len(message)) + message)
    return frame(Kind.RESULTS, b"".join(parts))


def read_results(payload: memoryview) -> Iterator[tuple[int, Outcome]]:
    """The outcomes of a frame by number."""
    place = 0
    while place < len(payload):
        number, failure = struct.unpack_from("<QB", payload, place)
        if failure == 0:
            _, _, value, tokens, cut_tokens = _REWARD.unpack_from(payload, place)
            place += _REWARD.size
            yield number, Reward(value, tokens, cut_tokens)
        else:
            _, _, length = _FAILURE.unpack_from(payload, place)
            place += _FAILURE.size
            message = bytes(payload[place : place + length]).decode()
            place += length
            yield number, _FAILURES[failure](message)


def _failure(error: PluralityError) -> int:
    """The place of an error's class; what is none of them failed in the engine, as far as its client can know."""
    return _FAILURES.index(type(error)) if type(error) in _FAILURES[1:] else _FAILURES.index(InferenceFailed)
