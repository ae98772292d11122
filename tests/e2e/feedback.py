"""What a running service promises about votes, whatever database it has."""

from pathlib import Path

import httpx
import pytest

from plurality.training.load import load_rows
from tests.e2e.process import serving

PAIR = {"prompt": "Name a prime.\x00", "response_a": "Eleven.", "response_b": "Twelve."}
COUNT = 128
KEY = {"authorization": "Bearer a-key-of-a-test"}


def votes_outlive_the_process(url: str, store: Path, folder: Path, environment: pytest.MonkeyPatch) -> None:
    """Pairs are scored and the service told to stop at once; the next process takes votes on them and exports them."""
    (folder / "keys").write_text("a-key-of-a-test\n")
    environment.setenv("PLURALITY_KEYS__ADMIN_FILE", str(folder / "keys"))
    environment.setenv("PLURALITY_FEEDBACK__URL", url)
    environment.setenv("PLURALITY_FEEDBACK__REMEMBER", "true")
    with serving(store) as first:
        reply = httpx.post(f"{first.api}/rm/v1/preference", json={"pairs": [PAIR] * COUNT}, timeout=60)
        assert reply.status_code == 200
        assert first.stop() == 0
    given = [
        {
            "id": f"v{i}",
            "voter": f"p{i}",
            "vote": {"a": 7, "b": 3},
            "request_id": reply.json()["request_id"],
            "index": i,
        }
        for i in range(COUNT)
    ]
    with serving(store) as second:
        ask = httpx.Client(base_url=second.api, headers=KEY, timeout=60)
        with ask:
            taken = ask.post("/rm/v1/feedback", json={"votes": given})
            assert {vote.get("status") for vote in taken.json()["votes"]} == {"stored"}, taken.text
            file = folder / "rows.jsonl"
            file.write_bytes(ask.get("/rm/v1/feedback/export").content)
            [row] = load_rows(file)
            assert (row.prompt, row.preference) == (PAIR["prompt"], 0.7)
            assert ask.delete("/rm/v1/feedback/voters/p0").json() == {"deleted": 1}
        metrics = httpx.get(f"{second.ops}/metrics", timeout=60).text
        assert f'rm_feedback_votes_total{{kind="graded",model="tiny"}} {COUNT}.0' in metrics
        assert "rm_feedback_remember_dropped_total 0.0" in metrics
        assert second.stop() == 0
    assert not [entry for served in (first, second) for entry in served.log if entry["level"] != "info"]
