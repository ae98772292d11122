"""`python -m tests.model_export.crashing STORE`: a publisher that kills itself at the k-th thing it asks of the disk.

Reads lines `<k> <sequence>` and answers each with how the publisher ended and how far it counted. Each publisher is a
fork of this process, which has imported everything. k = 0: it is left alone.
"""

import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

from model_export.publish import write_version
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import VerifiedFiles, read_verified

_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "fcntl.flock", "shutil.rmtree"}


class Steps:
    """Counts what is asked of the disk; dies before the fatal one."""

    def __init__(self, store: Path, fatal: int) -> None:
        self.count, self._store, self._fatal = 0, str(store), fatal

    def step(self) -> None:
        self.count += 1
        if self.count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Every call that Python reports of itself, if it is about the store."""
        if event not in _EVENTS:
            return
        path = arguments[0] if arguments else None
        path = os.fspath(path) if isinstance(path, Path) else path
        if event == "fcntl.flock" or (isinstance(path, str) and (path.startswith(self._store) or path[:1] != "/")):
            self.step()


class Torn:
    """A file that is new: each write reaches the disk in two halves, with a step between."""

    def __init__(self, file: IO[bytes], steps: Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: bytes) -> None:
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._steps.step()
        self._file.write(data[half:])

    def flush(self) -> None:
        self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()

    def __enter__(self) -> "Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def publish(store: Path, files: VerifiedFiles, *, fatal: int, sequence: int) -> int:
    """Publish a version and move `stable` to it; returns the number of steps."""
    steps = Steps(store, fatal)
    open_path, fsync = Path.open, os.fsync

    def opened(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = open_path(path, mode, *rest, **options)
        return Torn(file, steps) if mode == "xb" else file

    def synced(descriptor: int) -> None:
        steps.step()
        fsync(descriptor)

    Path.open, os.fsync = opened, synced  # type: ignore[method-assign, assignment]
    sys.addaudithook(steps.audit)
    with writer(store, "tiny") as directory:
        manifest = files.manifest.model_copy(update={"sequence": sequence})
        set_aliases(directory, {"stable": write_version(directory, manifest, files.contents)})
    return steps.count


def main() -> None:
    store = Path(sys.argv[1])
    [source] = (store / "tiny" / "versions").iterdir()
    files = read_verified(source)
    for line in sys.stdin:
        fatal, sequence = map(int, line.split())
        reader, wire = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(wire, str(publish(store, files, fatal=fatal, sequence=sequence)).encode())
            os._exit(0)
        os.close(wire)
        _, status = os.waitpid(child, 0)
        with os.fdopen(reader) as told:
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)} {told.read() or 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
