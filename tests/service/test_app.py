"""The composition root: what it opens, it opens once."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy

from service.app import Service
from service.feedback import connect
from tests.api import settings_for, with_api

_ARMS = [{"name": "now", "version": "stable", "weight": 1}, {"name": "then", "version": "stable", "weight": 1}]
_DEFINITION = {"model": "tiny", "control": "now", "arms": _ARMS}
_VOTE = {"id": "v1", "voter": "k1", "vote": "a", "prompt": "p", "response_a": "a", "response_b": "b"}


def test_one_pool_for_votes_and_definitions(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes, predictions and definitions of experiments share the connections of one database."""
    made: list[sqlalchemy.Engine] = []

    def counted(*given: Any, **options: Any) -> sqlalchemy.Engine:
        made.append(sqlalchemy.create_engine(*given, **options))
        return made[-1]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        key = {"authorization": "Bearer secret"}
        voted = await client.post("/rm/v1/feedback", json={"votes": [_VOTE]}, headers=key)
        assert voted.status_code == 200, voted.text
        put = await client.put("/rm/v1/experiments/tone", json=_DEFINITION, headers=key)
        assert put.status_code == 200, put.text
        assert len(made) == 1

    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    feedback = {"url": f"sqlite:///{tmp_path}/votes.db"}
    settings = settings_for(published, feedback=feedback, keys={"feedback_file": keys, "admin_file": keys})
    monkeypatch.setattr(connect, "create_engine", counted)
    with_api(settings, story)
