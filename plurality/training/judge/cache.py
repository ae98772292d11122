"""Every reply that was paid for, in one append-only JSONL file: killed and started again, nothing is asked twice.

A reply is written and handed to the kernel before it is used, so the death of the process loses only what was in
flight. A line that the death of the machine tore is cut off at the next start; damage anywhere else is an error.
"""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.judge.replies import JudgeReply


class Cache:
    """Replies by key. One process at a time; only the places in the file are held in memory."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            TrainingError: another run has it open.
            DataError: damaged before its last line, each bad line named.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._lock(path)
            self._places: dict[str, tuple[int, int]] = {}
            self.prompt_tokens = self.characters = self.answer_tokens = self.answers = 0
            self._end = self._read(path)
            os.ftruncate(self._file, self._end)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def get(self, key: str) -> JudgeReply | None:
        """The reply that is kept under a key."""
        place = self._places.get(key)
        if place is None:
            return None
        start, length = place
        return msgspec.json.decode(os.pread(self._file, length, start), type=JudgeReply)

    def put(self, reply: JudgeReply) -> None:
        """Keep a reply; it is in the file when this returns."""
        line = msgspec.json.encode(reply) + b"\n"
        left = memoryview(line)
        place = self._end
        while left:
            written = os.pwrite(self._file, left, place)
            left, place = left[written:], place + written
        self._learn(reply, self._end, len(line))
        self._end = place

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"{path.name}: another run is using this cache") from None

    def _read(self, path: Path) -> int:
        """Index the file; returns where its last whole line ends."""
        end = 0
        bad: list[BadRow] = []
        with os.fdopen(os.dup(self._file), "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    self._learn(msgspec.json.decode(line, type=JudgeReply), end, len(line))
                except (msgspec.DecodeError, UnicodeDecodeError):
                    bad.append(BadRow(number, "not a reply of a judge"))
                end += len(line)
        if bad:
            raise DataError(path.name, bad)
        return end

    def _learn(self, reply: JudgeReply, start: int, length: int) -> None:
        self._places[reply.key] = (start, length)
        if reply.usage and reply.usage.prompt_tokens:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.characters += reply.characters
            self.answer_tokens += reply.usage.completion_tokens
            self.answers += len(reply.answers)
