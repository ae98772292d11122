"""A real `plurality` process: started, asked, signalled, always ended by its own id; and a verb without a process."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from plurality.cli import main

ROOT = Path(__file__).resolve().parents[2]
_STOP_S = 60


def plurality(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end."""
    command = [sys.executable, "-m", "plurality", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, cwd=ROOT, check=False, **options)


def verb(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end in this process, by the console command's own function.

    What it would import is there already: for a verb that needs torch this saves seconds of CPU.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"argv": ["plurality", *words], "stdout": out, "stderr": err}.items():
            patch.setattr(sys, name, value)
        patch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it
        with pytest.raises(SystemExit) as ended:
            main()
    shown = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(words, int(ended.value.code or 0), *shown)


@dataclass(slots=True)
class Served:
    """A running service."""

    process: "subprocess.Popen[str]"
    api: str = ""
    ops: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)
    """What was written that is no record: tracebacks."""

    def read_until(self, event: str) -> dict[str, Any]:
        """Read log lines until an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if not line.startswith("{"):
                raise AssertionError(line)
            self.log.append(json.loads(line))
            if self.log[-1]["event"] == event:
                return self.log[-1]
        raise AssertionError(f"the service ended before {event}: {self.log[-5:]}")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code; the rest of the log is read."""
        assert self.process.stderr is not None
        rest = list(self.process.stderr)
        self.log += [json.loads(line) for line in rest if line.startswith("{")]
        self.noise += [line for line in rest if not line.startswith("{")]
        return self.process.wait(timeout=_STOP_S)


@contextmanager
def serving(
    store: Path | str, *flags: str, module: str = "plurality", cwd: Path = ROOT, env: dict[str, str] | None = None
) -> Iterator[Served]:
    """`plurality serve` on free loopback ports."""
    command = [sys.executable, "-m", module, "serve", "--store", str(store), "--port", "0", "--ops-port", "0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=cwd, env=env)
    served = Served(process)
    try:
        listening = served.read_until("listening")
        served.api, served.ops = listening["api"], listening["ops"]
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=_STOP_S)
        assert process.stderr is not None
        process.stderr.close()
