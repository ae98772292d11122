"""Start a peer, wait until it can be asked, stop it with all that it started."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.peers.options import HOST
from benchmarks.peers.peer import Peer

_START_S = 180.0
_STOP_S = 15.0
_POLL_S = 0.1
_SHOWN_LINES = 5


class PeerFailed(Exception):
    """A peer does not start; the message says why, and the benchmark leaves it out."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One reward model in the forms that the peers read."""

    checkpoint: Path
    onnx_fp32: Path
    onnx_int8: Path | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that can be asked."""

    url: str
    """Scheme, host and port."""
    pid: int
    """The first process, and the group of all of the peer's processes."""
    start_seconds: float
    """From the start of its process to the first good answer to its health request."""


@contextmanager
def running(peer: Peer, python: Path, files: ModelFiles, threads: int) -> Iterator[Running]:
    """A peer on a free port.

    Raises:
        PeerFailed: it ended, or did not get ready in time; with the last lines that it wrote.
    """
    port = _free_port()
    command = peer.command(python, files.checkpoint, files.onnx_fp32, files.onnx_int8, port, threads)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        began = time.perf_counter()
        process = _start(command, peer, log)
        try:
            url = f"http://{HOST}:{port}"
            _wait(process, f"{url}{peer.health}", began + _START_S, log)
            yield Running(url, process.pid, time.perf_counter() - began)
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port


def _start(command: Sequence[str], peer: Peer, log: IO[str]) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **peer.env}
    # A session of its own: some peers start workers, which must end with it.
    return subprocess.Popen(  # noqa: S603 - a command of ours
        command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def _wait(process: "subprocess.Popen[bytes]", health: str, deadline: float, log: IO[str]) -> None:
    while time.perf_counter() < deadline:
        if process.poll() is not None:
            raise PeerFailed(f"ended with status {process.returncode}: {_last_lines(log)}")
        with suppress(OSError), urllib.request.urlopen(health, timeout=5):  # noqa: S310 - http, to our own process
            return
        time.sleep(_POLL_S)
    raise PeerFailed(f"not ready after {_START_S:.0f} s: {_last_lines(log)}")


def _last_lines(log: IO[str]) -> str:
    log.seek(0)
    return " / ".join([line.strip() for line in log if line.strip()][-_SHOWN_LINES:])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):  # workers that outlived it, or itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
