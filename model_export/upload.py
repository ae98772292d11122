"""Bring a version into a store behind a URL. Object stores have no rename: files first, manifest last, pointer last.

A reader follows the pointer, and checks every digest; so it meets a version only when all of it is there. The pointer
is written on the condition that nobody else did meanwhile, where the store can do that (S3); elsewhere the last wins.
"""

from pathlib import Path
from typing import Any

from model_export.publish import check_version, read_manifest
from plurality.core.errors import PluralityError
from service.bundle.pointer import POINTER_NAME, Pointer, parse_pointer
from service.bundle.pointer_writer import moved
from service.bundle.remote import open_remote
from service.bundle.store import MANIFEST_NAME, VERSIONS
from service.errors import PublishError, StoreBusy

_LOST_RACE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
"""What S3 answers where a condition does not hold."""


def upload_version(source: Path, digest: str, url: str, alias: str) -> Pointer:
    """Copy a version of a local model to a remote store and point an alias at it.

    Args:
        source: the model's directory in the local store; its name is the model's in the remote one.

    Raises:
        PublishError: the version is damaged, or the remote store refuses; its aliases are as they were.
        StoreBusy: somebody else moved an alias at the same time.
        BundleRejected: the remote pointer is broken.
        ConfigurationError: the URL cannot be used.
    """
    check_version(source, digest)
    system, root = open_remote(url)
    base, version = f"{root}/{source.name}", source / VERSIONS / digest
    names = [entry.name for entry in read_manifest(version).files]
    try:
        system.makedirs(f"{base}/{VERSIONS}/{digest}", exist_ok=True)
        for name in (*names, MANIFEST_NAME):
            system.put_file(str(version / name), f"{base}/{VERSIONS}/{digest}/{name}")
        return _point(system, f"{base}/{POINTER_NAME}", source.name, alias, digest)
    except PluralityError:
        raise
    except Exception as error:  # noqa: BLE001 - each library has its own errors; their messages may hold more than a cause
        raise PublishError(f"the remote store refuses: {type(error).__name__}") from None


def _point(system: Any, path: str, model: str, alias: str, digest: str) -> Pointer:
    """Write the pointer, unless it is not the one any more that was read."""
    condition = {}
    if system.exists(path):
        # The tag first: a pointer that is replaced between the two questions then fails the condition.
        tag = system.info(path).get("ETag")
        condition = {"IfMatch": tag} if tag else {}
        before = parse_pointer(model, system.cat_file(path))
    else:
        condition = {"IfNoneMatch": "*"} if "s3" in system.protocol else {}
        before = None
    after = moved(before, {alias: digest})
    try:
        system.pipe_file(path, after.to_bytes(), **condition)
    except Exception as error:
        if condition and _code(error) in _LOST_RACE:
            raise StoreBusy(f"somebody else moved an alias of {model} at the same time; publish again") from None
        raise
    return after


def _code(error: Exception) -> str | None:
    """S3's code for an error, which fsspec hands on as the cause."""
    reply = getattr(error.__cause__ or error, "response", None) or {}
    code: str | None = reply.get("Error", {}).get("Code")
    return code
