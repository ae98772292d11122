"""Our own service as a process, and what any process costs: CPU seconds and memory, its children included."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_STOP_S = 30
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Service:
    """A running `plurality serve`."""

    url: str
    ops: str
    pid: int
    start_seconds: float
    """From the start of its process until it listens with the model loaded."""


@contextmanager
def serving(
    store: Path,
    work: Path,
    settings: Mapping[str, str] | None = None,
    *,
    python: Path | None = None,
    checkout: Path | None = None,
) -> Iterator[Service]:
    """`plurality serve` on free ports of loopback. `settings`: PLURALITY_ variables without the prefix.

    `python`: of the environment to serve with; ours by default. `checkout`: of the code to serve with; by default this.
    """
    variables = {f"PLURALITY_{name}": value for name, value in (settings or {}).items()}
    environment = {**os.environ, "PLURALITY_CACHE_DIR": str(work / "cache"), **variables}
    command = [
        str(python or sys.executable),
        "-m",
        "plurality",
        "serve",
        "--store",
        str(store),
        "--port",
        "0",
        "--ops-port",
        "0",
    ]
    began = time.perf_counter()
    # A pipe that nobody reads would block the service once it is full.
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, stderr=log, env=environment, cwd=checkout)  # noqa: S603 - our own command
        try:
            found = listening(process, Path(log.name))
            yield Service(found["api"], found["ops"], process.pid, time.perf_counter() - began)
        finally:
            stop(process)


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process of ours, politely first."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    process.kill()
    process.wait()


def listening(process: "subprocess.Popen[bytes]", log: Path) -> dict[str, Any]:
    """The record with which `plurality serve` says that it listens: `api`, `ops`, `ready`.

    Raises:
        RuntimeError: it ended before.
    """
    while process.poll() is None:
        for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n") and '"event": "listening"' in line:
                found: dict[str, Any] = json.loads(line)
                return found
        time.sleep(_POLL_S)
    raise RuntimeError(f"the service ended before it listened: {log.read_text(encoding='utf-8')[-500:]}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living children."""
    return sum(times.user + times.system for times in (each.cpu_times() for each in _family(pid)))


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process and its children, in 10^6 bytes."""
    return sum(each.memory_info().rss for each in _family(pid)) / 1e6


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]
