"""Versions change under load: no request fails, each is answered by one version, and every version is met."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.process import ROOT, serving
from tests.stamped import nan_graph, plant, publish_stamped

pytestmark = pytest.mark.e2e
PUBLISHES = 4


class Client:
    """The asking process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._met: set[int] = set()

    def until_met(self, k: int) -> None:
        """Wait for a reply of version k."""
        while k not in self._met:
            self._met.add(self._line()["met"])

    def end(self) -> dict[str, Any]:
        """Have it stop; what it saw."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        while "statuses" not in (found := self._line()):
            pass
        return found

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@contextmanager
def asking(url: str) -> Iterator[Client]:
    """A client process that asks without a pause."""
    command = [sys.executable, "-m", "tests.e2e.stamped_client", url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield Client(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def models(url: str) -> Any:
    """What the service says of its versions."""
    return httpx.get(f"{url}/rm/v1/models").json()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.2")


def test_publishing_under_load(tmp_path: Path) -> None:
    """Every request 200, every published version met, one version a reply; a candidate that is bad is not even met."""
    publish_stamped(tmp_path, 0)
    with serving(tmp_path) as served, asking(served.api) as client:
        client.until_met(0)
        for k in range(1, PUBLISHES + 1):
            if k == PUBLISHES // 2:
                bad = plant(tmp_path, 100, {"model.onnx": nan_graph(100)})
                while bad not in [entry["version"] for entry in models(served.api)["rejected"]]:
                    assert served.process.poll() is None
            publish_stamped(tmp_path, k)
            client.until_met(k)
        seen = client.end()
        assert set(seen["statuses"]) == {"200"}, seen
        assert seen["mixed"] == 0
        assert served.stop() == 0


def test_going_back_under_load(tmp_path: Path) -> None:
    """The pointer moved back: the former version answers without being loaded again, and no request fails."""
    first = publish_stamped(tmp_path, 0)
    with serving(tmp_path) as served, asking(served.api) as client:
        client.until_met(0)
        publish_stamped(tmp_path, 1)
        client.until_met(1)
        publish_stamped(tmp_path, 0)
        while first not in [entry["model"]["version"] for entry in models(served.api)["versions"] if entry["aliases"]]:
            assert served.process.poll() is None
        seen = client.end()
        assert set(seen["statuses"]) == {"200"}
        assert seen["mixed"] == 0
        assert served.stop() == 0
    assert sum(entry["event"] == "model_loaded" for entry in served.log) == 2


def test_the_check_catches_a_service_without_the_pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same client meets replies of two versions when the pin is taken out."""
    monkeypatch.setenv("PLURALITY_RUNTIME__ENGINE", "in_process")  # versions come faster, which is all that it needs
    monkeypatch.setenv("PLURALITY_REPOSITORY__DRY_RUN", "false")
    publish_stamped(tmp_path, 0)
    with serving(tmp_path, module="tests.e2e.unpinned") as served, asking(served.api) as client:
        client.until_met(0)
        for k in range(1, 2 * PUBLISHES + 1):
            publish_stamped(tmp_path, k)
            client.until_met(k)
        seen = client.end()
        assert set(seen["statuses"]) == {"200"}
        assert seen["mixed"] > 0
