"""The judge's model and its server, once for all tests of this folder."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.process import ROOT
from tests.plurality.training.judge.lm import JudgeModel, build_judge_model

_STOP_S = 60


@dataclass(slots=True)
class Server:
    """A running endpoint, and its levers."""

    base: str
    http: httpx.Client = field(repr=False)

    @property
    def url(self) -> str:
        return f"{self.base}/v1"

    def log(self) -> list[dict[str, Any]]:
        """Every request since the last reset: body and authorization."""
        found: list[dict[str, Any]] = self.http.get("/log").json()
        return found

    def faults(self, *faults: dict[str, Any]) -> None:
        """What the next requests get instead of an answer."""
        self.http.post("/faults", json=list(faults)).raise_for_status()

    def hold(self, *, after: int) -> None:
        """Answer so many requests; the next ones wait until the reset."""
        self.http.post(f"/hold/{after}").raise_for_status()

    def wait_held(self, count: int) -> None:
        """Until so many requests wait."""
        assert self.http.get(f"/held/{count}", timeout=None).json() is True

    def reset(self) -> None:
        """A server without a past; whoever waits is answered."""
        self.http.post("/reset").raise_for_status()


@pytest.fixture(scope="session")
def judge_model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_judge_model(tmp_path_factory.mktemp("judge-model"))


@pytest.fixture(scope="session")
def judge_model(judge_model_path: Path) -> JudgeModel:
    return JudgeModel(judge_model_path)


@pytest.fixture(scope="session")
def running_server(judge_model_path: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.plurality.training.judge.server", str(judge_model_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        base = f"http://127.0.0.1:{int(process.stdout.readline())}"
        with httpx.Client(base_url=base, timeout=60) as http:
            yield Server(base, http)
    finally:
        process.kill()
        process.wait(timeout=_STOP_S)
        process.stdout.close()


@pytest.fixture
def server(running_server: Server) -> Iterator[Server]:
    running_server.reset()
    yield running_server
    running_server.reset()
