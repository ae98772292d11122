"""Reads the pointers and versions of a store behind a URL (s3://, gs://, any that fsspec knows).

Nothing that comes from there is trusted before its digest is checked. Credentials come from the environment, as the
store's own library reads them; they are in no setting, no URL and no log.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from plurality.core.errors import ConfigurationError
from service.bundle.files import write_file
from service.bundle.manifest import MAX_MANIFEST_BYTES, FileEntry, parse_manifest
from service.bundle.pointer import MAX_POINTER_BYTES, POINTER_NAME, Pointer, parse_pointer
from service.bundle.store import MANIFEST_NAME, VERSIONS
from service.domain import MODEL_NAME_PATTERN
from service.errors import BundleRejected

_CHUNK = 4 * 2**20
_S3 = {"s3", "s3a"}
_PATIENCE = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}}
"""For S3, whose library would wait for minutes: serving does not wait, but `store_up` should tell."""


class RemoteUnavailable(Exception):
    """The remote store cannot be read now. It names the type of the error only: messages may hold credentials."""


def open_remote(url: str) -> tuple[Any, str]:
    """The file system and the root path of a URL, without any request to it.

    Raises:
        ConfigurationError: no such protocol, its library is not installed, or the URL holds credentials.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or "::" in url:
        raise ConfigurationError(
            "store: a URL is protocol://place/path and holds no credentials; put those into the environment",
            param="store",
        )
    options: dict[str, Any] = _PATIENCE if parts.scheme in _S3 else {}
    try:
        system, root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
    except ImportError:
        cure = "pip install '.[s3]'" if parts.scheme in _S3 else "install the package of fsspec's that reads it"
        raise ConfigurationError(f"store: {parts.scheme}:// needs a library: {cure}", param="store") from None
    except ValueError:
        raise ConfigurationError(f"store: {parts.scheme}:// is no protocol that fsspec knows", param="store") from None
    return system, root.rstrip("/")


class RemoteStore:
    """Reads a store over fsspec. Blocking."""

    def __init__(self, url: str) -> None:
        self._system, self._root = open_remote(url)

    def pointers(self) -> dict[str, Pointer | BundleRejected]:
        """Every model's pointer, or its error.

        Raises:
            RemoteUnavailable.
        """
        found: dict[str, Pointer | BundleRejected] = {}
        for path in self._ask(lambda: self._system.ls(self._root, detail=False)):
            name = path.rstrip("/").rsplit("/", 1)[-1]
            if re.fullmatch(MODEL_NAME_PATTERN, name):
                data = self._head(f"{name}/{POINTER_NAME}", MAX_POINTER_BYTES)
                if data is not None:
                    found[name] = _parsed(name, data)
        return found

    def fetch(self, model: str, digest: str, folder: Path, *, wanted: Callable[[], bool]) -> None:
        """Copy a version into an empty folder, checking every byte on its way; the manifest is written last.

        Args:
            wanted: asked between chunks; once false, the copy ends with RemoteUnavailable.

        Raises:
            RemoteUnavailable, BundleRejected, OSError: the last from the local disk.
        """
        base = f"{model}/{VERSIONS}/{digest}"
        data = self._head(f"{base}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
        if data is None:
            raise BundleRejected("manifest.json is missing", reason="io")
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleRejected("manifest.json does not have the version's sha256", reason="digest")
        manifest = parse_manifest(data)
        if manifest.model != model:
            raise BundleRejected(f"the manifest belongs to model {manifest.model}", reason="parse")
        for entry in manifest.files:
            write_file(folder / entry.name, self._checked(f"{base}/{entry.name}", entry, wanted))
        write_file(folder / MANIFEST_NAME, [data])

    def _checked(self, path: str, entry: FileEntry, wanted: Callable[[], bool]) -> Iterator[bytes]:
        """A file's chunks; raises after the last one unless they are what the manifest says."""
        digest, size = hashlib.sha256(), 0
        try:
            file = self._ask(lambda: self._system.open(f"{self._root}/{path}", "rb", block_size=_CHUNK))
        except FileNotFoundError:
            raise BundleRejected(f"{entry.name} is missing", reason="io") from None
        with file:
            while chunk := self._ask(lambda: file.read(_CHUNK)):
                digest.update(chunk)
                size += len(chunk)
                if size > entry.size:
                    break
                if not wanted():
                    raise RemoteUnavailable("stopping")
                yield chunk
        if size != entry.size:
            raise BundleRejected(f"{entry.name} has not the manifest's {entry.size} bytes", reason="size")
        if digest.hexdigest() != entry.sha256:
            raise BundleRejected(f"{entry.name}: its bytes do not have the manifest's sha256", reason="digest")

    def _head(self, path: str, limit: int) -> bytes | None:
        """A small file, at most one byte more than the limit; None where there is none."""
        try:
            data: bytes = self._ask(lambda: self._system.cat_file(f"{self._root}/{path}", start=0, end=limit + 1))
        except FileNotFoundError:
            return None
        return data

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Call the library; every error but a missing file becomes RemoteUnavailable."""
        try:
            return question()
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has its own errors, and many
            raise RemoteUnavailable(type(error).__name__) from None


def _parsed(name: str, data: bytes) -> Pointer | BundleRejected:
    try:
        return parse_pointer(name, data)
    except BundleRejected as error:
        return error
