"""Writes aliases, for the publisher, the command line, and a server that is configured as writer.

The lease is a lock that the kernel drops when its holder dies; the pointer is replaced as a whole, and remembers
which versions each alias named before.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from service.bundle.files import clear_staging, lock_file, replace_file
from service.bundle.pointer import MAX_HISTORY, POINTER_NAME, Pointer, read_pointer
from service.bundle.store import MANIFEST_NAME, VERSIONS
from service.errors import PublishError, RollbackImpossible, StoreBusy, UnknownModel

_LOCK = ".publisher.lock"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@contextmanager
def writer(store: Path, model: str, *, new: bool = True) -> Iterator[Path]:
    """Take the lease to write one model; yields its directory, without the leftovers of a writer that died.

    Args:
        new: whether it may be a model that the store does not have yet.

    Raises:
        UnknownModel: it is new and may not be.
        StoreBusy: another process is writing it.
        PublishError: the store cannot be written.
    """
    directory = store / model
    if not new and not (directory / POINTER_NAME).exists():
        raise UnknownModel("the store has no such model", param="model")
    try:
        (directory / VERSIONS).mkdir(parents=True, exist_ok=True)
        lock = lock_file(directory / _LOCK)
    except BlockingIOError:
        raise StoreBusy(f"another process is publishing {model}; wait for it to finish") from None
    except OSError as error:
        raise PublishError(f"cannot write the store {store}: {error.strerror}") from None
    with lock:
        clear_staging(directory)
        for leftover in directory.glob(f".{POINTER_NAME}.*"):
            leftover.unlink(missing_ok=True)
        yield directory


def current_pointer(directory: Path) -> Pointer | None:
    """A model's pointer, or None where there is none yet; raises BundleRejected where it is broken."""
    return read_pointer(directory) if (directory / POINTER_NAME).exists() else None


def current_version(directory: Path, alias: str) -> str | None:
    """The digest behind an alias, or None where there is none yet."""
    pointer = current_pointer(directory)
    return pointer.aliases.get(alias) if pointer else None


def version_digests(directory: Path) -> list[str]:
    """The versions that a model's directory holds, sorted by digest."""
    versions = directory / VERSIONS
    if not versions.is_dir():
        return []
    return sorted(path.name for path in versions.iterdir() if _DIGEST.fullmatch(path.name) and is_version(path))


def is_version(path: Path) -> bool:
    """Whether a directory holds a manifest."""
    return (path / MANIFEST_NAME).exists()


def find_version(directory: Path, which: str) -> str:
    """Resolve an alias, or the first digits of a digest, to a full digest.

    Raises:
        UnknownModel: none or several match.
    """
    if (found := current_version(directory, which)) is not None:
        return found
    known = version_digests(directory)
    matches = [digest for digest in known if which and digest.startswith(which)]
    if len(matches) != 1:
        listed = ", ".join(digest[:12] for digest in known) or "none"
        raise UnknownModel(
            f"that names {len(matches)} versions of {directory.name}; versions: {listed}", param="version"
        )
    return matches[0]


def set_aliases(directory: Path, changes: Mapping[str, str | None]) -> Pointer:
    """Move aliases to versions that are there; None removes one. Call it inside `writer`.

    Raises:
        PublishError: a version is not in the store, or the store cannot be written.
    """
    for digest in changes.values():
        if digest is not None and not is_version(directory / VERSIONS / digest):
            raise PublishError(f"no version {digest[:12]} of {directory.name} in the store")
    return put_pointer(directory, moved(current_pointer(directory), changes))


def moved(before: Pointer | None, changes: Mapping[str, str | None]) -> Pointer:
    """The next pointer, with changed aliases and their old targets in its history; raises PublishError if not valid."""
    old = before.aliases if before else {}
    history = dict(before.history) if before else {}
    for alias, digest in changes.items():
        if alias in old and old[alias] != digest:
            history[alias] = (old[alias], *history.get(alias, ()))[:MAX_HISTORY]
    aliases = {alias: digest for alias, digest in (dict(old) | dict(changes)).items() if digest is not None}
    return next_pointer(before, aliases, history)


def roll_back(directory: Path, alias: str) -> Pointer:
    """Move an alias to the version that it named before; a second call moves it one further. Call it inside `writer`.

    Raises:
        RollbackImpossible: the alias never named another version, or that one is not in the store any more.
        PublishError: the store cannot be written.
    """
    before = current_pointer(directory)
    former = former_version(before, alias)
    if before is None or former is None:
        raise RollbackImpossible(f"no earlier version of this alias of {directory.name} is known")
    if not is_version(directory / VERSIONS / former):
        raise RollbackImpossible(f"the earlier version {former[:12]} of {directory.name} is not in the store any more")
    history = dict(before.history) | {alias: before.history[alias][1:]}
    return put_pointer(directory, next_pointer(before, dict(before.aliases) | {alias: former}, history))


def former_version(pointer: Pointer | None, alias: str) -> str | None:
    """The target of a rollback of an alias; None: there is none."""
    return next(iter(pointer.history.get(alias, ())), None) if pointer else None


def next_pointer(before: Pointer | None, aliases: Mapping[str, str], history: Mapping[str, Sequence[str]]) -> Pointer:
    """The pointer of the next generation; raises PublishError where it is not valid."""
    kept = {alias: tuple(digests) for alias, digests in history.items() if digests}
    try:
        return Pointer(generation=before.generation + 1 if before else 1, aliases=dict(aliases), history=kept)
    except ValidationError as error:
        raise PublishError(f"the pointer would not be valid: {error.errors()[0]['msg']}") from None


def put_pointer(directory: Path, pointer: Pointer) -> Pointer:
    """Replace the pointer as a whole. Call it inside `writer`; raises PublishError."""
    try:
        replace_file(directory / POINTER_NAME, pointer.to_bytes())
    except OSError as error:
        raise PublishError(f"cannot write the pointer: {error.strerror}") from None
    return pointer
