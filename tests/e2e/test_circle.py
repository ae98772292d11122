"""The full circle, unattended: serve v1, people vote, the sidecar trains v2, an experiment compares, v2 is promoted.

Voters are simulated with a known taste, so the truth is known and the end can be checked against it.
"""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.bundle.pointer import read_pointer
from tests.e2e.process import ROOT, Served, serving
from tests.plurality.sidecar.taste import judged, preference, response, started

pytestmark = [pytest.mark.e2e, pytest.mark.export, pytest.mark.timeout(600)]
KEY = "feedback-key-of-the-test"
EXPERIMENT = """
experiments:
  - name: taste
    model: tiny
    control: current
    min_votes: 150
    slowdown: 1000
    arms:
      - {name: current, version: stable, weight: 50}
      - {name: new, version: candidate, weight: 50}
"""
VOTERS = 40
VOTES_A_ROUND = 64
ENOUGH = 640
MOST_ROUNDS = 60


class Population:
    """Simulated voters and, as a PPO loop would, requests for preferences on new prompts."""

    def __init__(self, api: str) -> None:
        self._client = httpx.Client(base_url=api, timeout=120, headers={"authorization": f"Bearer {KEY}"})
        self._rng = random.Random(7)  # noqa: S311 - seeded on purpose
        self.rounds = 0

    def vote(self) -> None:
        """Ask for preferences, which takes part in the experiment, then vote on the same pairs."""
        self.rounds += 1
        pairs = [
            {
                "prompt": f"Circle {self.rounds} {number}.",
                "response_a": response(self._rng),
                "response_b": response(self._rng),
            }
            for number in range(VOTES_A_ROUND)
        ]
        for pair in pairs:
            self._post("/rm/v1/preference", {"model": "tiny", "pairs": [pair]})
        votes = [
            pair
            | {
                "id": f"vote-{self.rounds}-{number}",
                "voter": f"voter-{self._rng.randrange(VOTERS)}",
                "model": "tiny",
                "vote": "a" if self._rng.random() < preference(pair["response_a"], pair["response_b"]) else "b",
            }
            for number, pair in enumerate(pairs)
        ]
        told = self._post("/rm/v1/feedback", {"votes": votes})
        assert all(entry["status"] == "stored" for entry in told["votes"]), told

    def close(self) -> None:
        self._client.close()

    def rest(self, over: Callable[[], bool]) -> None:
        """People vote more slowly than this: wait for the training, and for the versions to predict what was voted on.

        How long either takes says nothing: the test's own time limit ends a wait that never ends.
        """
        while self.rounds * VOTES_A_ROUND >= ENOUGH and not over():
            (arm,) = self._client.get("/rm/v1/experiments/taste/report").json()["arms"]
            counts = arm["report"] and arm["report"]["counts"]
            if counts and not counts["without_control"] and not counts["without_treatment"]:
                return
            time.sleep(0.1)

    def _post(self, path: str, body: object) -> dict[str, list[dict[str, str]]]:
        reply = self._client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        answer: dict[str, list[dict[str, str]]] = reply.json()
        return answer


@contextmanager
def training(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The sidecar, as an operator starts it."""
    command = [
        sys.executable, "-m", "plurality", "train", "--watch", str(path), "--promote-after-experiment", "taste",
    ]  # fmt: skip
    with (path.parent / "sidecar.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=60)


def stable(folder: Path) -> str:
    return read_pointer(folder / "store" / "tiny").aliases["stable"]


def wait_for_loaded(served: Served, digest: str) -> None:
    """Until the service has a version behind `stable`: it says so in its log."""
    found = threading.Event()

    def read() -> None:
        while served.read_until("alias_moved").get("version") != digest[:12]:
            pass
        found.set()

    threading.Thread(target=read, daemon=True).start()
    assert found.wait(120), "the service never moved to the promoted version"


def error_to_truth(api: str, version: str) -> float:
    """Mean |P - p*| over pairs that nobody voted on, as the service answers them."""
    rows = judged(120, seed=99)
    pairs = [{"prompt": r.prompt, "response_a": r.response_a, "response_b": r.response_b} for r in rows]
    reply = httpx.post(f"{api}/rm/v1/preference", json={"model": f"tiny@{version[:12]}", "pairs": pairs}, timeout=120)
    assert reply.status_code == 200, reply.text
    probability = np.array([pair["probability"] for pair in reply.json()["pairs"]])
    return float(np.mean(np.abs(probability - np.array([row.true_preference for row in rows]))))


def test_votes_become_a_better_version_that_is_promoted(tmp_path: Path) -> None:
    path = started(tmp_path, settings=f"min_new_votes = {ENOUGH}")
    first = stable(tmp_path)
    (tmp_path / "experiments.yaml").write_text(EXPERIMENT)
    (tmp_path / "keys").write_text(KEY + "\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_FEEDBACK__URL", f"sqlite:///{tmp_path}/feedback.db")
        environment.setenv("PLURALITY_KEYS__FEEDBACK_FILE", str(tmp_path / "keys"))
        environment.setenv("PLURALITY_EXPERIMENTS__FILE", str(tmp_path / "experiments.yaml"))
        environment.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.2")
        environment.setenv("PLURALITY_EXPERIMENTS__POLL_INTERVAL_S", "0.2")
        with serving(tmp_path / "store") as served:
            path.write_text(path.read_text().replace('name = "tiny"', f'name = "tiny"\nservice = "{served.api}"'))
            with closing(Population(served.api)) as people, training(path) as sidecar:
                while stable(tmp_path) == first and people.rounds < MOST_ROUNDS:
                    assert sidecar.poll() is None, (tmp_path / "sidecar.log").read_text()
                    people.vote()
                    people.rest(lambda: stable(tmp_path) != first or sidecar.poll() is not None)
                second = stable(tmp_path)
                log = (tmp_path / "sidecar.log").read_text()
            assert second != first, httpx.get(f"{served.api}/rm/v1/experiments/taste/report", timeout=60).text + log
            assert ": promote: " in log
            wait_for_loaded(served, second)
            assert error_to_truth(served.api, second) < error_to_truth(served.api, first)
