"""The command line as a user types it, on a tiny model: import, calibrate, score, publish, models, and its refusals."""

import json
from pathlib import Path

import msgspec
import pytest

from service.wire import WireItem
from tests.e2e.process import plurality, verb
from tests.tiny import build_tiny_checkpoint, labeled_pairs

pytestmark = pytest.mark.e2e


def write_pairs(checkpoint: Path, path: Path, count: int = 40) -> Path:
    rows = [
        {"prompt": p.prompt, "response_a": p.response_a, "response_b": p.response_b, "label": p.label}
        for p in labeled_pairs(checkpoint, count)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def test_import_calibrate_score_publish(tmp_path: Path) -> None:
    """From a Hugging Face directory to calibrated scores, every verb with its exit code 0 and what it says."""
    checkpoint = build_tiny_checkpoint("qwen3", tmp_path / "some-reward-model")
    store = tmp_path / "store"
    imported = plurality("import", str(checkpoint), "--store", str(store), "--name", "mine")
    assert imported.returncode == 0, imported.stderr
    assert "input format: chat" in imported.stdout
    assert "<|im_start|>user" in imported.stdout
    assert "uncalibrated" in imported.stdout

    pairs = write_pairs(checkpoint, tmp_path / "pairs.jsonl")
    calibrated = verb("calibrate", "mine", "--store", str(store), "--data", str(pairs))
    assert calibrated.returncode == 0, calibrated.stderr
    assert "temperature 2.0" in calibrated.stdout

    listed = json.loads(verb("models", "--store", str(store), "--verify", "--json").stdout)
    assert [(entry["sequence"], entry["aliases"]) for entry in listed] == [(2, ["stable"]), (1, [])]
    assert listed[0]["temperature"] == pytest.approx(2.0, abs=0.01)
    assert str(tmp_path) not in json.dumps(listed)

    questions = tmp_path / "answers.jsonl"
    lines = [
        {"id": "x", "prompt": "p", "response": "r"},
        {"prompt": [{"role": "user", "content": "p"}], "response": "r"},
    ]
    questions.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    scored = plurality("score", str(questions), "--store", str(store), "--output", str(tmp_path / "out.jsonl"))
    assert scored.returncode == 0, scored.stderr
    rewards = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rewards[0]["id"] == "x"
    assert rewards[0]["reward"] == pytest.approx(rewards[1]["reward"], abs=1e-5)

    back = plurality("publish", "mine", listed[1]["version"][:12], "--store", str(store))
    assert back.returncode == 0
    assert listed[1]["version"][:12] in verb("models", "--store", str(store)).stdout.splitlines()[1]

    other = tmp_path / "other"
    copied = plurality("publish", "mine", "stable", "--from", str(store), "--store", str(other))
    assert copied.returncode == 0, copied.stderr
    assert listed[1]["version"][:12] in verb("models", "--store", str(other)).stdout


def test_score_says_which_items_failed(published_chat: Path, tmp_path: Path) -> None:
    """An item with an error of its own is in the output with its reason, and the exit code is 5."""
    questions = tmp_path / "answers.jsonl"
    questions.write_text('{"prompt": "p", "response": "r"}\n{"prompt": "p", "response": "<|eot_id|>"}\n')
    done = plurality("score", str(questions), "--store", str(published_chat))
    assert done.returncode == 5
    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert isinstance(good["reward"], float)
    assert (bad["reward"], bad["error"]["code"]) == (None, "control_token_in_text")


def test_bad_lines_are_named(published: Path, tmp_path: Path) -> None:
    """Lines that are not items stop the run before it starts: exit code 3, each line named, no output."""
    questions = tmp_path / "answers.jsonl"
    questions.write_text(
        '{"prompt": "p", "response": "r"}\nnot json\n[]\n{"prompt": "p"}\n{"prompt": NaN, "response": ""}\n'
    )
    done = plurality("score", str(questions), "--store", str(published))
    assert done.returncode == 3
    assert done.stdout == ""
    for line in (2, 3, 4, 5):
        assert f"line {line}:" in done.stderr
    msgspec.convert({"prompt": "p", "response": "r"}, WireItem)


def test_refusals(published: Path, tmp_path: Path) -> None:
    """Each refusal has its exit code and says the cause: no store, no version, no head, two labels, too few pairs."""
    empty = verb("models", "--store", str(tmp_path / "none"))
    assert (empty.returncode, "cannot read the store" in empty.stderr) == (2, True)
    absent = verb("publish", "tiny", "ffff", "--store", str(published))
    assert (absent.returncode, "names 0 versions" in absent.stderr) == (2, True)
    headless = verb("import", "/nonexistent/model", "--store", str(tmp_path / "s"), "--name", "x")
    assert (headless.returncode, "cannot open" in headless.stderr) == (4, True)
    few = tmp_path / "few.jsonl"
    few.write_text('{"prompt":"p","response_a":"a","response_b":"b","label":1}\n')
    short = verb("calibrate", "tiny", "--store", str(published), "--data", str(few))
    assert (short.returncode, "at least 30" in short.stderr) == (4, True)
    unknown = verb("score", str(few), "--store", str(published), "--model", "nobody")
    assert unknown.returncode == 3
    for done in (empty, absent, headless, short, unknown):
        assert "Traceback" not in done.stderr
