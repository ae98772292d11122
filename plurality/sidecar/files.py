"""Atomic file writes and the lock: a killed cycle leaves whole files or none."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plurality.training.errors import TrainingError
from service.bundle.files import lock_file, replace_file


def write_whole(path: Path, text: str) -> None:
    """Write a text file atomically, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode())


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as indented JSON, atomically."""
    write_whole(path, json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a record, or None if it was not written yet."""
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


@contextmanager
def lease(path: Path) -> Iterator[None]:
    """Hold a file lock, which the kernel releases when the process dies.

    Raises:
        TrainingError: another process holds it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_file(path)
    except BlockingIOError:
        raise TrainingError(f"another sidecar trains {path.parent.name}; one at a time") from None
    except OSError as error:
        raise TrainingError(f"cannot write {path.parent}: {error.strerror}") from None
    with lock:
        yield
