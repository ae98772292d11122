"""API keys: who may score, vote and administer. Keys come from files, one a line, and rotate without a restart.

What is kept of a key is its SHA-256; a presented key is compared with all of them in constant time, and never logged.
"""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from starlette.requests import HTTPConnection

from plurality.core.errors import ConfigurationError
from service.errors import Unauthorized, WritesDisabled
from service.settings.groups import KeySettings
from service.telemetry.logs import get_logger

Role = Literal["score", "feedback", "admin"]
MAX_KEY_FILE_BYTES = 1 * 2**20
_FINGERPRINT = 8
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes when a file does, however it was replaced."""

    inode: int
    size: int
    changed_ns: int
    renamed_ns: int


class KeyFile:
    """The digests of one file's keys, as the file is now.

    Raises:
        ConfigurationError: at the start the file cannot be read, holds no key, or a line is none. Later such a file
            is logged and holds no key: a key that was taken out must not live on because of a slip.
    """

    def __init__(self, path: Path, role: Role) -> None:
        self._path, self._role = path, role
        self._stamp = self._look()
        self._digests = self._read()

    def digests(self) -> tuple[bytes, ...]:
        """SHA-256 of every key."""
        if (stamp := self._look()) != self._stamp:
            self._stamp = stamp
            try:
                self._digests = self._read()
                _log.info("keys_read", role=self._role, keys=len(self._digests))
            except ConfigurationError as error:
                self._digests = ()
                _log.error("keys_unreadable", role=self._role, message=error.message)
        return self._digests

    def _look(self) -> _Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def _read(self) -> tuple[bytes, ...]:
        try:
            with self._path.open("rb") as file:
                data = file.read(MAX_KEY_FILE_BYTES + 1)
        except OSError as error:
            raise self._wrong(error.strerror or "cannot be read") from None
        if len(data) > MAX_KEY_FILE_BYTES:
            raise self._wrong(f"is larger than {MAX_KEY_FILE_BYTES} bytes")
        found = []
        for number, line in enumerate(data.splitlines(), start=1):
            key = line.strip()
            if not key or key.startswith(b"#"):
                continue
            if not all(0x21 <= byte <= 0x7E for byte in key):
                raise self._wrong(f"line {number} is no key: printable ASCII without spaces")
            found.append(hashlib.sha256(key).digest())
        if not found:
            raise self._wrong("holds no key; one a line")
        return tuple(found)

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"keys.{self._role}_file: {self._path}: {what}", param=f"keys.{self._role}_file")


class Keys:
    """Which keys open what. An admin key opens everything; a feedback key does not open admin.

    Raises:
        ConfigurationError: a file that is configured cannot be used.
    """

    def __init__(self, settings: KeySettings) -> None:
        admin = _files(settings.admin_file, "admin")
        feedback = _files(settings.feedback_file, "feedback")
        score = _files(settings.score_file, "score")
        self._files: dict[Role, tuple[KeyFile, ...]] = {
            "admin": admin,
            "feedback": (*feedback, *admin) if feedback or admin else (),
            "score": (*score, *admin) if score else (),
        }
        self.open: frozenset[Role] = frozenset() if score else frozenset({"score"})
        """What needs no key: scoring, unless a `score_file` is configured."""

    def require(self, request: HTTPConnection, role: Role) -> None:
        """Let a request pass that presents a key of the role, where the role is not open.

        Raises:
            Unauthorized: the key is missing or wrong.
            WritesDisabled: no key is configured that would open it.
        """
        self._check(_presented(request), role)

    def admit(self, key: str, role: Role) -> None:
        """Let a key pass that came in a form; as of `require`."""
        self._check(hashlib.sha256(key.strip().encode()).digest(), role)

    def configured(self, role: Role) -> bool:
        """Whether there is a key that opens this."""
        return bool(self._files[role])

    def _check(self, presented: bytes, role: Role) -> None:
        if role in self.open:
            return
        files = self._files[role]
        if not files:
            raise WritesDisabled(f"this route is off: configure a key for it with keys.{role}_file")
        known = False
        for file in files:
            for digest in file.digests():
                known |= hmac.compare_digest(digest, presented)
        if not known:
            raise Unauthorized(f"send a key that opens {role} routes, as Authorization: Bearer <key>")


def fingerprint(request: HTTPConnection) -> str:
    """Who: the first digits of the presented key's SHA-256, for the log."""
    return _presented(request).hex()[:_FINGERPRINT]


def _files(path: Path | None, role: Role) -> tuple[KeyFile, ...]:
    return (KeyFile(path, role),) if path else ()


def _presented(request: HTTPConnection) -> bytes:
    """SHA-256 of the bearer token; of the empty text, which no file can hold, where there is none."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    # Headers are read as Latin-1: back to the bytes that were sent, whatever they are.
    return hashlib.sha256(key.strip().encode("latin-1") if scheme.lower() == "bearer" else b"").digest()
