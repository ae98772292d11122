"""Runs a candidate for the first time in a child process with limits, so that its crash does not kill the service.

A graph may ask for any amount of memory, loop for ever or crash the runtime; a tokenizer file may be a bomb. The child
(`dry_run_child.py`) gets the verified bytes, in memory, and nothing else of ours: no environment, no file descriptor,
no path. Blocking.
"""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import Any

from service.bundle.open import MODEL_FILE, TOKENIZER_FILE
from service.bundle.store import VerifiedFiles
from service.engine.child_process import child_command, child_environment
from service.errors import BundleRejected

_MEMORY_FLOOR = 2 * 2**30
"""Address space of Python, onnxruntime and their threads' stacks, with room for a small model's run."""
_MEMORY_FACTOR = 4
"""On top, by size of the files: their bytes, the session's copy, its optimized copy, and what a run needs."""
_CHILD = "service.versions.dry_run_child"
_ANSWER_BYTES = 64 * 1024
_MOST_TOKENS = 512


@dataclass(frozen=True, slots=True)
class DryRunLimits:
    """The limits of one child process."""

    seconds: float
    """Of wall time; of processor time the same, rounded up."""
    memory_bytes: int | None
    """Of address space; None: by the size of the files."""
    longest_shape: bool
    """Also run the longest shape. Not where the service uses a faster device than the child's processor."""


class DryRun:
    """One child process. `run` is called in a thread; `stop` from anywhere."""

    def __init__(self, limits: DryRunLimits) -> None:
        self._limits = limits
        self._child: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def run(self, files: VerifiedFiles) -> None:
        """Open the bytes, parse them, run one text.

        Raises:
            BundleRejected: `timeout`, `resources`, `crash`, or what the child found wrong.
        """
        memory = self._limits.memory_bytes or _MEMORY_FLOOR + _MEMORY_FACTOR * sum(map(len, files.contents.values()))
        asked = _in_memory(files, self._limits, memory)
        try:
            with os.fdopen(os.memfd_create("verdict", os.MFD_CLOEXEC), "w+b") as answered:
                status = self._wait(asked, answered.fileno())
                answered.seek(0)
                _judge(status, answered.read(_ANSWER_BYTES), self._limits, memory)
        finally:
            os.close(asked)

    def stop(self) -> None:
        """Kill the child, if it runs. Idempotent."""
        self._stopped = True
        if self._child:
            self._child.kill()

    def _wait(self, asked: int, answered: int) -> int | None:
        """Wait for the child's exit code; None: it was still running at its time limit, and was killed."""
        self._child = child = subprocess.Popen(  # noqa: S603 - our own module
            child_command(_CHILD),
            stdin=asked,
            stdout=answered,
            stderr=subprocess.DEVNULL,
            env={**child_environment(engine=False), "OMP_NUM_THREADS": "1"},
            cwd="/",
        )
        try:
            if self._stopped:
                child.kill()
            return child.wait(self._limits.seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            child.kill()
            child.wait()


def _in_memory(files: VerifiedFiles, limits: DryRunLimits, memory: int) -> int:
    """The request as an anonymous file: a line of JSON, then the files one after the other."""
    manifest = files.manifest
    header = {
        "cpu_s": max(1, -(-int(1000 * limits.seconds) // 1000)),
        "memory_bytes": memory,
        "answer_bytes": _ANSWER_BYTES,
        "tokens": min(manifest.input_format.max_length, _MOST_TOKENS) if limits.longest_shape else 0,
        "input_format": manifest.input_format.model_dump(mode="json"),
        "golden": manifest.golden[0].model_dump(mode="json"),
        "files": [[name, len(data)] for name, data in files.contents.items()],
        "model": MODEL_FILE,
        "tokenizer": TOKENIZER_FILE,
    }
    descriptor = os.memfd_create("candidate", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for data in files.contents.values():
            file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _judge(status: int | None, answer: bytes, limits: DryRunLimits, memory: int) -> None:
    """Raise the rejection that the child's exit status and answer mean."""
    if status is None or status == -signal.SIGXCPU:
        raise BundleRejected(f"its first run did not end in {limits.seconds:g} s", reason="timeout")
    if status == -signal.SIGKILL:
        raise BundleRejected("its first run was ended by the system, most likely for its memory", reason="resources")
    if status != 0:
        raise BundleRejected(f"its first run ended the process that it ran in (status {status})", reason="crash")
    found: dict[str, Any] = json.loads(answer)
    if found["reason"] == "resources":
        raise BundleRejected(f"its first run needs more memory than the {memory >> 20} MiB allowed", reason="resources")
    if found["reason"]:
        raise BundleRejected(found["message"], reason=found["reason"])
