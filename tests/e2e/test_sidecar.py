"""The sidecar as a process: killed in the middle of training, it goes on; what it says of itself can be scraped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from plurality.core.pairs import ResponsePair
from service.bundle.pointer import read_pointer
from service.feedback.database import FeedbackStore
from service.feedback.records import Vote
from tests.e2e.process import ROOT
from tests.plurality.sidecar.taste import judged, started

pytestmark = [pytest.mark.e2e, pytest.mark.export]
_PATIENCE_S = 240


def vote_on(url: str, count: int) -> None:
    """Five people's votes on each pair, straight into the database."""
    store = FeedbackStore(url)
    store.open()
    votes = []
    for row in judged(count, seed=1):
        assert row.votes is not None
        assert row.prompt is not None
        pair = ResponsePair(row.prompt, row.response_a, row.response_b)
        for person in range(5):
            share = 1.0 if person < row.votes.a else 0.0
            votes.append(Vote(f"{row.id}-{person}", pair, share, f"voter-{person}", "tiny", created=1000.0))
    store.add(votes)
    store.close()


def start(path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "plurality", "train", "--watch", str(path), "--once"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)


def await_that(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Poll until it holds; fail when the process ends or time is out."""
    for _ in range(_PATIENCE_S * 20):
        if condition():
            return
        assert process.poll() is None, "it ended before"
        time.sleep(0.05)
    raise AssertionError("it never came to that")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_killed_cycle_goes_on(tmp_path: Path) -> None:
    port = free_port()
    path = started(tmp_path, settings=f"metrics_port = {port}", training="save_steps = 20")
    vote_on(f"sqlite:///{tmp_path}/feedback.db", 400)
    cycle = tmp_path / "work" / "cycles" / "0001"

    def phase() -> str:
        try:
            text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        except httpx.TransportError:
            return ""
        return next((line for line in text.splitlines() if line.startswith("rm_trainer_phase{") and "1.0" in line), "")

    first = start(path)
    try:
        await_that(lambda: 'phase="train"' in phase(), first)
        await_that(lambda: any(cycle.glob("checkpoint/checkpoints/*/trainer_state.json")), first)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate(timeout=60)
    assert not (cycle / "report.json").exists()
    assert set(read_pointer(tmp_path / "store" / "tiny").aliases) == {"stable"}
    done = max(int(path.name.split("-")[1]) for path in cycle.glob("checkpoint/checkpoints/checkpoint-*"))

    second = start(path)
    said, _ = second.communicate(timeout=_PATIENCE_S)
    assert second.returncode == 0, said
    report = json.loads((cycle / "report.json").read_text())
    assert report["outcome"] == "published", said
    assert read_pointer(tmp_path / "store" / "tiny").aliases["candidate"] == report["version"]
    assert len(list((tmp_path / "store" / "tiny" / "versions").iterdir())) == 2
    assert done >= 20
    assert not (tmp_path / "work" / "cycles" / "0002").exists()
