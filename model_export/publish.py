"""Write a version into a store so that a reader sees all of it or nothing, and move aliases. The only writer's code.

Protocol (reliability.md §4.1): stage on the same file system, fsync every file, manifest last, re-read and verify,
make read-only, rename to the digest's name, then write the pointer by temporary file and rename.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_export.errors import PublishError
from service.errors import BundleRejected
from service.repository.load import check_golden, open_model
from service.repository.manifest import Manifest
from service.repository.pointer import POINTER_NAME, Pointer, read_pointer
from service.repository.store import MANIFEST_NAME, VERSIONS, read_verified

_STAGING = ".staging"
_LOCK = ".publisher.lock"


@contextmanager
def writer(store: Path, model: str) -> Iterator[Path]:
    """Hold the right to write one model; yields its directory. The kernel drops the lock if the process dies.

    Raises:
        PublishError: somebody else is writing it, or the store cannot be written.
    """
    directory = store / model
    try:
        (directory / VERSIONS).mkdir(parents=True, exist_ok=True)
        lock = (directory / _LOCK).open("w")
    except OSError as error:
        raise PublishError(f"cannot write the store {store}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PublishError(f"another process is publishing {model}; wait for it to finish") from None
        yield directory


def next_sequence(directory: Path) -> int:
    """One more than the largest sequence number among the model's versions."""
    known = [read_manifest(path).sequence for path in (directory / VERSIONS).iterdir() if _is_version(path)]
    return max(known, default=0) + 1


def read_manifest(version: Path) -> Manifest:
    """A version's manifest, without checking the other files."""
    return Manifest.model_validate_json((version / MANIFEST_NAME).read_bytes())


def current_version(directory: Path, alias: str) -> str | None:
    """The digest behind an alias, or None where there is none yet."""
    if not (directory / POINTER_NAME).exists():
        return None
    return read_pointer(directory).aliases.get(alias)


def write_version(directory: Path, manifest: Manifest, files: Mapping[str, Path | bytes]) -> str:
    """Stage, verify and rename into place; returns the digest. Publishing the same content twice is a no-op.

    Raises:
        PublishError: the file system refuses, or what was written does not verify. Nothing becomes visible.
    """
    staging = directory / _STAGING / uuid.uuid4().hex
    try:
        staging.mkdir(parents=True)
        for name, content in files.items():
            _write(staging / name, content)
        _write(staging / MANIFEST_NAME, manifest.to_bytes())
        return _finish(staging, directory / VERSIONS)
    except OSError as error:
        raise PublishError(f"cannot write the version: {error.strerror}") from None
    except BundleRejected as error:
        raise PublishError(f"what was written does not verify: {error.message}") from None
    finally:
        shutil.rmtree(directory / _STAGING, ignore_errors=True)


def _finish(staging: Path, versions: Path) -> str:
    digest = hashlib.sha256((staging / MANIFEST_NAME).read_bytes()).hexdigest()
    target = versions / digest
    if target.exists():
        _sync_directory(versions)  # an attempt that failed here left it without
        return digest
    named = staging.with_name(digest)
    staging.rename(named)
    model = open_model(read_verified(named), device="cpu", threads=None)
    try:
        check_golden(model)
    finally:
        model.backend.close()
    for path in named.iterdir():
        path.chmod(0o444)
    _sync_directory(named)
    named.rename(target)
    _sync_directory(versions)
    target.chmod(0o555)
    return digest


def set_aliases(directory: Path, changes: Mapping[str, str | None]) -> Pointer:
    """Move aliases to versions that are there; None removes one. Call it inside `writer`.

    Raises:
        PublishError: a version is not in the store.
    """
    before = read_pointer(directory) if (directory / POINTER_NAME).exists() else None
    aliases = dict(before.aliases) if before else {}
    for alias, digest in changes.items():
        if digest is None:
            aliases.pop(alias, None)
        elif not (directory / VERSIONS / digest / MANIFEST_NAME).exists():
            raise PublishError(f"no version {digest[:12]} of {directory.name} in the store")
        else:
            aliases[alias] = digest
    pointer = Pointer(generation=before.generation + 1 if before else 1, aliases=aliases)
    temporary = directory / f".{POINTER_NAME}.{uuid.uuid4().hex}"
    try:
        _write(temporary, pointer.to_bytes())
        temporary.rename(directory / POINTER_NAME)
        _sync_directory(directory)
    except OSError as error:
        raise PublishError(f"cannot write the pointer: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return pointer


def find_version(directory: Path, which: str) -> str:
    """A full digest from an alias or from the first digits of a digest.

    Raises:
        PublishError: none or several match.
    """
    if (found := current_version(directory, which)) is not None:
        return found
    versions = directory / VERSIONS
    known = sorted(path.name for path in versions.iterdir() if _is_version(path)) if versions.is_dir() else []
    matches = [digest for digest in known if digest.startswith(which)]
    if len(matches) != 1:
        listed = ", ".join(digest[:12] for digest in known) or "none"
        raise PublishError(f"{which!r} names {len(matches)} versions of {directory.name}; versions: {listed}")
    return matches[0]


def copy_version(source: Path, digest: str, directory: Path) -> str:
    """Bring a version over from another store's model directory, verified on both sides. Call it inside `writer`."""
    try:
        verified = read_verified(source / VERSIONS / digest)
    except BundleRejected as error:
        raise PublishError(f"the source version does not verify: {error.message}") from None
    return write_version(directory, verified.manifest, verified.contents)


def _is_version(path: Path) -> bool:
    return (path / MANIFEST_NAME).exists()


def _write(path: Path, content: Path | bytes) -> None:
    with path.open("xb") as target:
        if isinstance(content, bytes):
            target.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, target, 4 * 2**20)
        target.flush()
        os.fsync(target.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
