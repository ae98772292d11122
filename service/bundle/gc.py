"""Finds versions that a store may delete, and deletes them so that no reader meets half a version."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from service.bundle.files import set_aside, staging
from service.bundle.pointer import Pointer
from service.bundle.pointer_writer import current_pointer, version_digests
from service.bundle.store import VERSIONS, version_directory
from service.errors import PublishError


@dataclass(frozen=True, slots=True)
class Age:
    """A version and the time of its publication."""

    digest: str
    published: float
    """Seconds since the epoch."""


def named(pointer: Pointer | None) -> frozenset[str]:
    """Versions that a pointer names, as the target of an alias or of its rollback."""
    if pointer is None:
        return frozenset()
    return frozenset(pointer.aliases.values()).union(*pointer.history.values())


def collectable(versions: Iterable[Age], keep: Collection[str], *, newest: int, grace_s: float, now: float) -> set[str]:
    """Digests that may be deleted: not kept, not among the newest, older than the grace time.

    Args:
        keep: digests that stay at any age.
        newest: how many of the latest stay.
        grace_s: how long every version stays, for readers that are about to open it.
        now: seconds since the epoch.
    """
    ordered = sorted(versions, key=lambda version: (version.published, version.digest), reverse=True)
    return {
        version.digest
        for version in ordered[newest:]
        if version.digest not in keep and now - version.published > grace_s
    }


def find_collectable(directory: Path, *, newest: int, grace_s: float, now: float) -> list[str]:
    """The versions of one model that may be deleted, sorted.

    Raises:
        BundleRejected: the pointer cannot be read: then none may be.
        PublishError: the store cannot be read.
    """
    keep = named(current_pointer(directory))
    try:
        ages = [Age(digest, (directory / VERSIONS / digest).stat().st_mtime) for digest in version_digests(directory)]
    except OSError as error:
        raise PublishError(f"cannot read the versions of {directory.name}: {error.strerror}") from None
    return sorted(collectable(ages, keep, newest=newest, grace_s=grace_s, now=now))


def collect(directory: Path, digests: Collection[str]) -> None:
    """Delete versions, each in one step as readers see it. Call it inside `writer`.

    Raises:
        PublishError: the file system refuses.
    """
    doomed = set(digests) - named(current_pointer(directory))
    try:
        with staging(directory) as folder:
            for digest in sorted(doomed):
                set_aside(version_directory(directory.parent, directory.name, digest), folder)
    except OSError as error:
        raise PublishError(f"cannot remove a version of {directory.name}: {error.strerror}") from None
