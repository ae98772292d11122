"""Writes files that survive a crash: each is whole and on the disk before a rename makes it visible."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

STAGING = ".staging"


def write_file(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file and wait for the disk; raises OSError, also where the file exists."""
    with path.open("xb") as target:
        for chunk in chunks:
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that takes the place of `path` at the end: a reader sees the old bytes or all of the new ones."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file by these bytes, as `replacing` does."""
    with replacing(path) as file:
        file.write(data)


def lock_file(path: Path) -> IO[str]:
    """Take a lock that lasts until the file is closed; the kernel drops it when the process dies.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be written.
    """
    file = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def sync_directory(path: Path) -> None:
    """Wait until the disk has a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def staging(directory: Path) -> Iterator[Path]:
    """Make a temporary folder on the file system of `directory`; removed with its content at the end."""
    folder = directory / STAGING / uuid.uuid4().hex
    try:
        folder.mkdir(parents=True)
        yield folder
    finally:
        clear_staging(directory)


def clear_staging(directory: Path) -> None:
    """Remove all staged folders. Call it under the lease only."""
    shutil.rmtree(directory / STAGING, ignore_errors=True)


def make_visible(staged: Path, target: Path) -> None:
    """Rename a complete folder to its final place, read-only."""
    for path in staged.iterdir():
        path.chmod(0o444)
    sync_directory(staged)
    staged.rename(target)
    sync_directory(target.parent)
    target.chmod(0o555)


def set_aside(directory: Path, folder: Path) -> None:
    """Move a version out of sight in one step, into a folder that `staging` made."""
    directory.chmod(0o755)  # a folder's own `..` changes when it moves
    directory.rename(folder / f"gone-{directory.name}")
