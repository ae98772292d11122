"""The engine calls that run now, in memory that an engine process shares with the service.

The process writes a call down before it runs it and crosses it out afterwards, at the cost of a memory copy. The
service reads only when the process has ended or is suspected to hang: then it still tells which texts were running.
"""

import hashlib
import mmap
import os
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from service.domain import Encoding

_SLOTS = 64
"""Calls at the same time: no version has more workers."""
_HEAD = struct.Struct("<ddI")
"""When it began (CLOCK_MONOTONIC), its predicted seconds, how many texts; their digests follow."""
_COUNT = struct.Struct("<I")
_COUNT_AT = 16
_DIGEST_BYTES = 32


def digest_of(encoding: Encoding) -> bytes:
    """The SHA-256 of a text's token ids."""
    return hashlib.sha256(array("I", encoding.ids).tobytes()).digest()


@dataclass(frozen=True, slots=True)
class RunningCall:
    """One engine call."""

    began: float
    predicted_s: float
    digests: tuple[bytes, ...]


class RunningCalls:
    """The table, as one of the two processes sees it."""

    def __init__(self, descriptor: int, most_items: int) -> None:
        """Map the table that `create` made; the descriptor may be closed afterwards."""
        self._slot_bytes = _HEAD.size + _DIGEST_BYTES * most_items
        self._memory = mmap.mmap(descriptor, _SLOTS * self._slot_bytes)
        self._free = list(range(_SLOTS))
        """Taken from and added to by one bytecode each, so threads need no lock."""

    @staticmethod
    def create(most_items: int) -> int:
        """Make an empty table for calls of at most so many items; returns its file descriptor."""
        descriptor = os.memfd_create("running-calls", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _SLOTS * (_HEAD.size + _DIGEST_BYTES * most_items))
        return descriptor

    @contextmanager
    def noted(self, encodings: Sequence[Encoding], predicted_s: float) -> Iterator[None]:
        """Keep a call in the table while it runs. May be called in several threads."""
        slot = self.begin(encodings, time.monotonic(), predicted_s)
        try:
            yield
        finally:
            self.end(slot)

    def begin(self, encodings: Sequence[Encoding], began: float, predicted_s: float) -> int:
        """Write a call down; returns the slot to cross out when it has ended."""
        slot = self._free.pop()
        start = slot * self._slot_bytes
        digests = b"".join(map(digest_of, encodings))
        # The count comes last: a slot that is half written, because the process was killed meanwhile, counts nothing.
        _HEAD.pack_into(self._memory, start, began, predicted_s, 0)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(digests)] = digests
        _COUNT.pack_into(self._memory, start + _COUNT_AT, len(encodings))
        return slot

    def end(self, slot: int) -> None:
        """Cross a call out."""
        _COUNT.pack_into(self._memory, slot * self._slot_bytes + _COUNT_AT, 0)
        self._free.append(slot)

    def read(self) -> list[RunningCall]:
        """All calls that run now, or ran when the process ended."""
        return [call for slot in range(_SLOTS) if (call := self._read(slot * self._slot_bytes))]

    def close(self) -> None:
        """Unmap it. Idempotent."""
        self._memory.close()

    def _read(self, start: int) -> RunningCall | None:
        began, predicted_s, count = _HEAD.unpack_from(self._memory, start)
        first = start + _HEAD.size
        # The process may have been damaged before it ended: nothing beyond the slot is read, whatever it says.
        count = min(count, (self._slot_bytes - _HEAD.size) // _DIGEST_BYTES)
        if count == 0:
            return None
        places = range(first, first + count * _DIGEST_BYTES, _DIGEST_BYTES)
        return RunningCall(began, predicted_s, tuple(bytes(self._memory[at : at + _DIGEST_BYTES]) for at in places))
