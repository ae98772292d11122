"""An experiment as people run it: two versions, a YAML file, a real process and a client over sockets."""

import json
from collections import Counter
from pathlib import Path

import httpx
import pytest
from scipy.stats import binom

from service.bundle.files import replace_file
from tests.e2e.process import Served, plurality, serving

pytestmark = pytest.mark.e2e
REQUESTS = 400
BODY = {"items": [{"prompt": "Question 1?", "response": "One."}]}
YAML = """
experiments:
  - name: rollout
    model: tiny
    control: current
    arms:
      - {{name: current, version: stable, weight: {current}}}
      - {{name: new, version: candidate, weight: {new}}}
      - {{name: quiet, version: candidate, shadow: true}}
"""


def arms_of(served: Served) -> dict[str, str]:
    """The arm of each of 400 prompts, groups of three answers; each reply is of the one version of its arm."""
    arms: dict[str, str] = {}
    versions: dict[str, set[str]] = {}
    with httpx.Client(base_url=served.api, timeout=60) as client:
        for number in range(REQUESTS):
            prompt = f"Question {number}?"
            items = [{"prompt": prompt, "response": text} for text in ("One.", "Two words.", "Three whole words.")]
            reply = client.post("/rm/v1/score", json={"items": items})
            assert reply.status_code == 200, reply.text
            assert reply.headers["x-experiment"] == "rollout"
            arms[prompt] = reply.headers["x-experiment-arm"]
            versions.setdefault(arms[prompt], set()).add(reply.json()["model"]["version"])
    assert all(len(found) == 1 for found in versions.values())
    assert versions["current"] != versions["new"]
    return arms


def test_split_sticky_and_overridden(published_two: Path, tmp_path: Path) -> None:
    """400 requests split within exact binomial bounds; the same after a restart; a named arm is served by it."""
    file = tmp_path / "experiments.yaml"
    file.write_text(YAML.format(current=70, new=30))
    settings = {"PLURALITY_EXPERIMENTS__FILE": str(file)}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        with serving(published_two) as served:
            first = arms_of(served)
            low, high = (float(binom.ppf(level, REQUESTS, 0.3)) for level in (0.0005, 0.9995))
            assert low <= Counter(first.values())["new"] <= high
            for arm in ("current", "new", "quiet"):
                reply = httpx.post(served.api + "/rm/v1/score", json=BODY, headers={"x-experiment-arm": arm})
                assert reply.headers["x-experiment-arm"] == arm
            metrics = httpx.get(served.ops + "/metrics").text
            assert (
                f'rm_ab_assigned_total{{arm="new",experiment="rollout"}} {Counter(first.values())["new"]}.0' in metrics
            )
            assert served.stop() == 0
        with serving(published_two) as served:
            assert arms_of(served) == first
            assert served.stop() == 0


def test_weights_move_only_what_changed(published_two: Path, tmp_path: Path) -> None:
    """The file is read again while requests run: units go to the growing arm only; a wrong file changes nothing."""
    file = tmp_path / "experiments.yaml"
    file.write_text(YAML.format(current=90, new=10))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_EXPERIMENTS__FILE", str(file))
        environment.setenv("PLURALITY_EXPERIMENTS__POLL_INTERVAL_S", "0.05")
        with serving(published_two) as served:
            before = arms_of(served)
            file.write_text(YAML.format(current=50, new=50))
            served.read_until("experiment_defined")
            after = arms_of(served)
            assert {(before[prompt], after[prompt]) for prompt in before} == {
                ("current", "current"), ("current", "new"), ("new", "new"),
            }  # fmt: skip
            replace_file(file, b"experiments: {")  # at once: a test's pause within a write is not its subject
            refused = served.read_until("experiments_rejected")
            assert "is not YAML" in refused["message"]
            assert arms_of(served) == after
            assert served.stop() == 0


def test_the_verbs(published_two: Path, tmp_path: Path) -> None:
    """put, list, show, report and stop by the command line against a real service; errors are its own words."""
    (tmp_path / "admin.key").write_text("the-admins-own-key\n")
    definition = tmp_path / "tone.yaml"
    definition.write_text(
        "model: tiny\ncontrol: current\narms:\n"
        "  - {name: current, version: stable, weight: 3}\n  - {name: new, version: candidate, weight: 1}\n"
    )
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_KEYS__ADMIN_FILE", str(tmp_path / "admin.key"))
        environment.setenv("PLURALITY_FEEDBACK__URL", f"sqlite:///{tmp_path}/votes.db")
        with serving(published_two) as served:
            environment.setenv("PLURALITY_URL", served.api)
            key = ("--key-file", str(tmp_path / "admin.key"))
            assert "75.00%" in done("put", "tone", str(definition), *key)
            assert "tone  tiny  database  runs" in done("list")
            assert json.loads(done("show", "tone"))["arms"][1]["share"] == 0.25
            assert done("report", "tone").startswith("new: hold\n")
            assert "stopped" in done("stop", "tone", *key)
            assert "x-experiment" not in httpx.post(served.api + "/rm/v1/score", json=BODY).headers
            wrong = plurality("experiment", "show", "other")
            assert (wrong.returncode, wrong.stderr) == (1, "error: 404: no such experiment; defined: tone\n")
            assert served.stop() == 0


def done(*words: str) -> str:
    """Standard output of a verb that went well."""
    found = plurality("experiment", *words)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_a_wrong_file_stops_the_start(published_two: Path, tmp_path: Path) -> None:
    """The key is named, the exit code is that of a wrong setting."""
    file = tmp_path / "experiments.yaml"
    file.write_text(YAML.format(current=-1, new=1))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_EXPERIMENTS__FILE", str(file))
        with pytest.raises(AssertionError, match=r"experiments\[0\]\.arms\[0\]\.weight"), serving(published_two):
            pass
