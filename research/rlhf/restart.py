"""Kill the service under a running GRPO, start it again, and check every reward that the trainer was given.

The training process itself kills the service (SIGKILL, by its id) just before two of its reward calls, so those calls
meet a dead port; the process's death, not a clock, makes this one start it again.
"""

import threading
from dataclasses import dataclass
from pathlib import Path

import httpx

from research.rlhf.environment import run_worker
from research.rlhf.folder import Folder, read_json, read_jsonl
from research.rlhf.reward_model import MODEL
from research.rlhf.service import Service

STEPS = 6
KILL_AT = (2, 4)
"""Numbers of reward calls."""
TOLERANCE = 1e-5
"""The service's promise: a reward does not depend on what else is in its batch beyond this (fp32)."""
_ITEMS = 128
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run with kills came to."""

    steps: int
    """Steps that the trainer finished."""
    kills: int
    rewards: int
    """Rewards that the trainer was given."""
    missing: int
    """None among them."""
    wrong: int
    """Not None, and further than TOLERANCE from the service's reward of the same text, asked afterwards."""
    largest_difference: float
    versions: tuple[str, ...]
    """Of the run, and of the check afterwards."""

    @property
    def correct(self) -> bool:
        """Whether the run went to its end with nothing invented, under one version."""
        return self.steps == STEPS and self.kills == len(KILL_AT) and not self.wrong and len(set(self.versions)) == 1


def run_with_restarts(folder: Folder, python: Path, service: Service, output: Path) -> Outcome:
    """A short GRPO run with kills; needs the store, the start policy and a running service."""
    finished = threading.Event()
    keeper = threading.Thread(target=_start_again, args=(service, finished))
    keeper.start()
    try:
        run_worker(
            python, "grpo", "--url", service.url, "--model", MODEL, "--policy", folder.policy,
            "--prompts", folder.prompts, "--output", output, "--steps", STEPS, "--held-out-every", STEPS,
            "--kill-at", *KILL_AT, "--service-id", service.pid.absolute(), log=output / "output.log",
        )  # fmt: skip
    finally:
        finished.set()
        if service.starts <= len(KILL_AT) and service.process is not None:
            service.process.kill()  # wakes the keeper where the run failed before its kills
        keeper.join()
    return _check(service.url, output, service.starts - 1)


def _start_again(service: Service, finished: threading.Event) -> None:
    for _ in KILL_AT:
        assert service.process is not None  # noqa: S101 - it runs when this thread starts
        service.process.wait()
        if finished.is_set():
            return
        service.start()


def _check(url: str, output: Path, kills: int) -> Outcome:
    rows = read_jsonl(output / "rewards.jsonl")
    rewards, version = ask(url, [(row["prompt"], row["text"]) for row in rows])
    given = [row["given"] for row in rows]
    differences = [abs(a - b) for a, b in zip(given, rewards, strict=True) if a is not None and b is not None]
    invented = sum(a is not None and b is None for a, b in zip(given, rewards, strict=True))
    done = read_json(output / "done.json")
    return Outcome(
        steps=max(row["step"] for row in rows) + 1,
        kills=kills,
        rewards=len(rows),
        missing=given.count(None),
        wrong=invented + sum(each > TOLERANCE for each in differences),
        largest_difference=max(differences, default=0.0),
        versions=(done["version"], version),
    )


def ask(url: str, items: list[tuple[str, str]]) -> tuple[list[float | None], str]:
    """Rewards straight from the route, without the client, and the version that gave them."""
    rewards: list[float | None] = []
    versions: set[str] = set()
    with httpx.Client(timeout=_TIMEOUT_S) as http:
        for at in range(0, len(items), _ITEMS):
            asked = [{"prompt": prompt, "response": text} for prompt, text in items[at : at + _ITEMS]]
            reply = http.post(f"{url}/rm/v1/score", json={"model": MODEL, "items": asked}).raise_for_status().json()
            rewards += [item["reward"] for item in reply["items"]]
            versions.add(reply["model"]["version"])
    [version] = versions
    return rewards, version
