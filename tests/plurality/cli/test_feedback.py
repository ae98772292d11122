"""`plurality feedback`: on the database of a service."""

import json
from pathlib import Path

from plurality.training.load import load_rows
from tests.e2e.process import plurality
from tests.service.feedback.stories import opened, vote


def test_export_delete_stats(tmp_path: Path) -> None:
    """What is exported is read by the trainer, incrementally; a voter goes; a missing database is an error."""
    url, file = f"sqlite:///{tmp_path / 'votes.db'}", tmp_path / "rows.jsonl"
    missing = plurality("feedback", "stats", "--url", url)
    assert missing.returncode == 2
    assert "there is no such feedback database" in missing.stderr
    assert not list(tmp_path.iterdir())
    with opened(url) as store:
        store.add([vote(1), vote(2, share_a=0.0)])
    done = plurality("feedback", "export", "--url", url, "--output", str(file))
    assert (done.returncode, done.stderr.strip()) == (0, "1 rows; cursor 2")
    [row] = load_rows(file)
    assert row.preference == 0.5
    done = plurality("feedback", "export", "--url", url, "--rows", "votes", "--after", "1")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["v2"]
    done = plurality("feedback", "delete", "--url", url, "voter-1")
    assert (done.returncode, done.stdout.strip()) == (0, "deleted 1 votes")
    stats = json.loads(plurality("feedback", "stats", "--url", url, "--json").stdout)
    assert (stats["voters"], stats["models"]) == (1, {"tiny": {"choices": 1, "graded": 0}})
    assert "tiny: 1 choices, 0 estimates" in plurality("feedback", "stats", "--url", url).stdout
