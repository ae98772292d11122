"""The model store on disk, read-only: `<store>/<model>/versions/<digest>/` and `<store>/<model>/pointer.json`.

Reads every file once, checks size and sha256, and hands on those very bytes: what was verified is what is used.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import MAX_MANIFEST_BYTES, FileEntry, Manifest, parse_manifest
from service.bundle.pointer import POINTER_NAME
from service.domain import MODEL_NAME_PATTERN
from service.errors import BundleRejected

MANIFEST_NAME = "manifest.json"
VERSIONS = "versions"


@dataclass(frozen=True, slots=True)
class VerifiedFiles:
    """A version whose every byte matches its manifest, held in memory."""

    digest: str
    manifest: Manifest
    contents: Mapping[str, bytes]


def model_names(store: Path) -> list[str]:
    """Names of the models in the store: folders with a valid name that hold a pointer. Sorted.

    Raises:
        OSError: the store itself cannot be read.
    """
    return sorted(
        entry.name
        for entry in os.scandir(store)
        if re.fullmatch(MODEL_NAME_PATTERN, entry.name) and (Path(entry.path) / POINTER_NAME).exists()
    )


def version_directory(store: Path, model: str, digest: str) -> Path:
    """The directory of a version. Callers have validated both names by their patterns."""
    return store / model / VERSIONS / digest


def read_manifest(directory: Path) -> tuple[str, Manifest]:
    """A version's digest and manifest, checked against each other; no other file is opened.

    Raises:
        BundleRejected: with reason `digest`, `size`, `io` or `parse`.
    """
    data = _read(directory, MANIFEST_NAME, MAX_MANIFEST_BYTES, exact=False)
    digest = hashlib.sha256(data).hexdigest()
    if digest != directory.name:
        raise BundleRejected(
            f"manifest.json has sha256 {digest[:12]}…, the directory says {directory.name[:12]}…",
            reason="digest",
        )
    return digest, parse_manifest(data)


def read_verified(directory: Path) -> VerifiedFiles:
    """Read a version and check every byte of it.

    Raises:
        BundleRejected: with reason `digest`, `size`, `io` or `parse`, naming the file.
    """
    digest, manifest = read_manifest(directory)
    _check_listing(directory, manifest)
    contents = {entry.name: _read_entry(directory, entry) for entry in manifest.files}
    return VerifiedFiles(digest, manifest, contents)


def _check_listing(directory: Path, manifest: Manifest) -> None:
    listed = {entry.name for entry in manifest.files} | {MANIFEST_NAME}
    found = {entry.name for entry in os.scandir(directory)}
    if missing := sorted(listed - found):
        raise BundleRejected(f"{missing[0]} is missing", reason="io")
    if extra := found - listed:
        raise BundleRejected(f"{len(extra)} file(s) that the manifest does not list", reason="digest")


def _read_entry(directory: Path, entry: FileEntry) -> bytes:
    data = _read(directory, entry.name, entry.size)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BundleRejected(f"{entry.name}: its bytes do not have the manifest's sha256", reason="digest")
    return data


def _read(directory: Path, name: str, limit: int, *, exact: bool = True) -> bytes:
    """Read a regular, singly linked file; no link is followed, a link could lead out of the store."""
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BundleRejected(f"{name}: {error.strerror}", reason="io") from None
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise BundleRejected(f"{name} is not a regular file with a single link", reason="io")
        if status.st_size > limit or (exact and status.st_size != limit):
            raise BundleRejected(f"{name} has {status.st_size} bytes, the manifest says {limit}", reason="size")
        return _read_all(file.fileno(), status.st_size, name)


def _read_all(descriptor: int, size: int, name: str) -> bytes:
    """In as few pieces as the kernel gives: a piece is read without the interpreter's lock, joining them is not."""
    pieces: list[bytes] = []
    missing = size
    while missing:
        piece = os.read(descriptor, missing)
        if not piece:
            raise BundleRejected(f"{name} ends after {size - missing} of {size} bytes", reason="size")
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
