"""Files that are there as a whole or not at all: what a cycle that was killed left behind is either true or absent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plurality.training.errors import TrainingError
from service.bundle.files import lock_file, replace_file


def write_whole(path: Path, text: str) -> None:
    """Put text where a path says, its folder too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode())


def write_record(path: Path, record: dict[str, Any]) -> None:
    """JSON for people and machines."""
    write_whole(path, json.dumps(record, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_record(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none yet."""
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


@contextmanager
def lease(path: Path) -> Iterator[None]:
    """Hold a lock that the kernel drops when the process dies.

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
