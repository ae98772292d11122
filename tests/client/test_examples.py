"""Every example runs against a real service and says what it promises."""

import ast
import os
import subprocess
import sys

import pytest
from plurality_client import Client

from tests.e2e.process import ROOT

pytestmark = pytest.mark.e2e
EXAMPLES = ROOT / "client" / "examples"
PROMPT = "Name a prime number above ten."


def run(name: str, *words: str) -> dict[str, str]:
    """The lines of an example's output by their first word; of several the last."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PLURALITY_")}
    command = [sys.executable, str(EXAMPLES / name), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {line.partition(" ")[0]: line.partition(" ")[2] for line in done.stdout.splitlines()}


def numbers(text: str) -> list[float]:
    """The numbers of a line."""
    return [float(word) for word in text.split()]


@pytest.fixture(scope="module")
def rewards(service: str) -> dict[str, float]:
    """Of the answers that the examples share."""
    texts = ("Eleven.", "Twelve.", "A dozen.", "No.")
    with Client(service) as client:
        scores = client.score([(PROMPT, text) for text in texts]).rewards
    return {text: reward for text, reward in zip(texts, scores, strict=True) if reward is not None}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short_and_explain_themselves(path: "os.PathLike[str]") -> None:
    """At most 60 lines, a docstring, and --help with --url."""
    text = (EXAMPLES / path).read_text()
    assert len(text.splitlines()) <= 60
    assert ast.get_docstring(ast.parse(text))
    command = [sys.executable, str(path), "--help"]
    assert "--url" in subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_quickstart(service: str, rewards: dict[str, float]) -> None:
    """The version, two rewards, a preference that follows from them, an order."""
    said = run("quickstart.py", "--url", service, "--model", "tiny")
    assert said["model"].startswith("tiny@")
    assert numbers(said["rewards"]) == pytest.approx([rewards["Eleven."], rewards["Twelve."]], abs=1e-5)
    assert (float(said["preference"].split()[0]) > 0.5) == (rewards["Eleven."] > rewards["Twelve."])
    texts = ["Twelve.", "Eleven.", "A dozen."]
    assert numbers(said["order"]) == sorted(range(3), key=lambda place: -rewards[texts[place]])


def test_trl_grpo(service: str) -> None:
    """Four rewards, advantages that sum to nothing, and what the trainer would log."""
    said = run("trl_grpo_reward.py", "--url", service)
    assert len(numbers(said["rewards"])) == 4
    assert sum(numbers(said["advantages"])) == pytest.approx(0, abs=1e-6)
    assert len(said["version"]) == 12
    assert said["metric"].startswith("plurality/")


def test_verl(service: str, rewards: dict[str, float]) -> None:
    """Both forms give the service's rewards."""
    said = run("verl_compute_score.py", "--url", service)
    assert ast.literal_eval(said["blocking"])["score"] == pytest.approx(rewards["Eleven."], abs=1e-5)
    assert ast.literal_eval(said["awaited"])["score"] == pytest.approx(rewards["Twelve."], abs=1e-5)


def test_openrlhf(service: str, rewards: dict[str, float]) -> None:
    """One query has a number, two have a list."""
    said = run("openrlhf_reward_func.py", "--url", service)
    one, two = ast.literal_eval(said["one"]), ast.literal_eval(said["two"])
    assert one["rewards"] == pytest.approx(two["rewards"][0], abs=1e-5)
    assert two["rewards"] == pytest.approx([rewards["Eleven."], rewards["Twelve."]], abs=1e-5)
    assert set(one) == {"rewards", "scores", "extra_logs", "model"}


def test_best_of_n(service: str, rewards: dict[str, float]) -> None:
    """The best answer is the one with the highest reward."""
    place, reward, response = run("best_of_n.py", "--url", service)["best"].split(maxsplit=2)
    best = max(("Twelve.", "Eleven.", "A dozen."), key=lambda text: rewards[text])
    assert (response, ["Twelve.", "Eleven.", "A dozen."][int(place)]) == (best, best)
    assert float(reward) == pytest.approx(rewards[best], abs=1e-5)
