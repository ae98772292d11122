"""Our service as a process on loopback that can be killed and started again on the same port."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.processes import listening, stop
from research.rlhf.folder import Folder


@dataclass(slots=True)
class Service:
    """A running `plurality serve`. Its process's id is in the file `pid`."""

    folder: Folder
    url: str = ""
    starts: int = 0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> Path:
        """The file with the id."""
        return self.folder.root / f"service-{os.getpid()}.pid"

    def start(self) -> None:
        """Start, the first time on a free port, later on the same one; returns when it listens.

        Raises:
            RuntimeError: it ended before it listened, or listens without a model.
        """
        self.starts += 1
        port = urlsplit(self.url).port if self.url else 0
        command = [sys.executable, "-m", "plurality", "serve", "--store", str(self.folder.store)]
        command += ["--port", str(port), "--ops-port", "0"]
        environment = {**os.environ, "PLURALITY_CACHE_DIR": str(self.folder.root / "cache")}
        log = self.folder.root / f"service-{os.getpid()}-{self.starts}.log"
        with log.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(command, stderr=file, env=environment)  # noqa: S603 - our own program
        self.pid.write_text(str(self.process.pid), encoding="utf-8")
        found = listening(self.process, log)
        if not found["ready"]:
            raise RuntimeError(f"the service has no model that it accepts: {log.read_text(encoding='utf-8')[-500:]}")
        self.url = str(found["api"])

    def stop(self) -> None:
        """End it, politely first."""
        if self.process is not None:
            stop(self.process)


@contextmanager
def serving(folder: Folder) -> Iterator[Service]:
    """A service on the study's store, stopped in the end."""
    service = Service(folder)
    try:
        service.start()
        yield service
    finally:
        service.stop()
