"""Write a version into a store so that a reader sees all of it or nothing. The only writer of versions.

Protocol (reliability.md §4.1): stage on the same file system, fsync every file, manifest last, re-read and verify,
make read-only, rename to the digest's name; then the alias moves (service/bundle/pointer_writer.py).
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from service.bundle.files import make_visible, set_aside, staging, sync_directory, write_file
from service.bundle.manifest import Manifest
from service.bundle.open import check_golden, open_model
from service.bundle.pointer_writer import is_version
from service.bundle.store import MANIFEST_NAME, VERSIONS, read_verified
from service.errors import BundleRejected, PublishError

_CHUNK = 4 * 2**20


def next_sequence(directory: Path) -> int:
    """One more than the largest sequence number among the model's versions whose manifests can be read."""
    known = [0]
    for path in (directory / VERSIONS).iterdir():
        if is_version(path):
            with suppress(OSError, ValidationError):  # one damaged version stops no publishing
                known.append(read_manifest(path).sequence)
    return max(known) + 1


def read_manifest(version: Path) -> Manifest:
    """A version's manifest, without checking the other files."""
    return Manifest.model_validate_json((version / MANIFEST_NAME).read_bytes())


def write_version(directory: Path, manifest: Manifest, files: Mapping[str, Path | bytes]) -> str:
    """Stage, verify and rename into place; returns the digest. Call it inside `writer`.

    Publishing the same content twice changes nothing, unless the files on the disk are no longer what they were: a
    damaged version is replaced by the one that was just written and verified.

    Raises:
        PublishError: the file system refuses, or what was written does not verify. Nothing becomes visible.
    """
    try:
        with staging(directory) as folder:
            for name, content in files.items():
                write_file(folder / name, _chunks(content))
            write_file(folder / MANIFEST_NAME, [manifest.to_bytes()])
            return _finish(folder, directory / VERSIONS)
    except OSError as error:
        raise PublishError(f"cannot write the version: {error.strerror}") from None
    except BundleRejected as error:
        raise PublishError(f"what was written does not verify: {error.message}") from None


def _finish(folder: Path, versions: Path) -> str:
    digest = hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()
    target = versions / digest
    if target.exists() and is_whole(target):
        sync_directory(versions)  # an attempt that failed here left it without
        return digest
    named = folder.with_name(digest)
    folder.rename(named)
    model = open_model(read_verified(named), device="cpu", threads=None)
    try:
        check_golden(model)
    finally:
        model.backend.close()
    if target.exists():
        set_aside(target, named.parent)
    make_visible(named, target)
    return digest


def is_whole(version: Path) -> bool:
    """Whether every byte of a version matches its manifest."""
    try:
        read_verified(version)
    except BundleRejected:
        return False
    return True


def check_version(directory: Path, digest: str) -> None:
    """Check every byte of a version before an alias moves to it.

    Raises:
        PublishError: it is damaged; publishing the same content again mends it.
    """
    try:
        read_verified(directory / VERSIONS / digest)
    except BundleRejected as error:
        raise PublishError(
            f"version {digest[:12]} is damaged in the store ({error.message}); publish it again, which replaces it"
        ) from None


def copy_version(source: Path, digest: str, directory: Path) -> str:
    """Bring a version over from another store's model directory, verified on both sides. Call it inside `writer`."""
    try:
        verified = read_verified(source / VERSIONS / digest)
    except BundleRejected as error:
        raise PublishError(f"the source version does not verify: {error.message}") from None
    return write_version(directory, verified.manifest, verified.contents)


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK):
            yield chunk
