"""`plurality train` as a user types it, on a tiny model: an objective with MORE, and settings that are refused."""

import json
from pathlib import Path

import pytest

from tests.e2e.process import verb
from tests.plurality.training.data import planted, write_jsonl
from tests.tiny import build_tiny_checkpoint

pytestmark = pytest.mark.e2e


def test_more_over_a_margin(tmp_path: Path) -> None:
    """Two sources, clamped margins, accumulation: the checkpoint says what it is, and the plot is where it was said."""
    checkpoint = build_tiny_checkpoint("bert", tmp_path / "encoder")
    rows = [entry | {"source": "ab"[index % 2]} for index, entry in enumerate(planted(32, votes=True))]
    data, output = write_jsonl(tmp_path / "train.jsonl", rows), tmp_path / "out"
    done = verb(
        "train", "--data", str(data), "--output", str(output), "--model", str(checkpoint), "--objective", "margin",
        "--margin-policy", "clamp", "--centering", "0.01", "--more", "--more-floor", "0.1", "--batch-size", "4",
        "--gradient-accumulation", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "more+margin-clamp+centered: 32 pairs" in done.stdout
    assert "sources: a 16, b 16" in done.stdout
    assert "trained 4 steps" in done.stdout
    assert f"{output / 'more.png'}" in done.stdout
    assert (output / "more.png").exists()
    assert json.loads((output / "plurality.json").read_text())["objective"] == "more+margin-clamp+centered"


def test_refused_in_one_line(tmp_path: Path) -> None:
    """A setting that has no effect is wrong usage: exit code 2, one line, nothing loaded or written."""
    done = verb(
        "train", "--data", "none.jsonl", "--output", str(tmp_path / "out"), "--model", "none",
        "--objective", "scaled-bt", "--margin-policy", "signed",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: scaled-bt has no signed policy: its loss would have no minimum; use clamp or drop"
    ]
    assert not (tmp_path / "out").exists()
