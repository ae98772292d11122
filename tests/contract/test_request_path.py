"""How many of our files one request runs through: what a reader must open to follow it."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import settings_for, with_api

ROOT = Path(__file__).resolve().parents[2]
MOST_FILES = 17
"""Of a request on one pair, without an experiment. The number may fall, never rise."""
_PAIR = {"prompt": "Name a prime.", "response_a": "Seven.", "response_b": "Eight."}
_REQUESTS = 5


@pytest.fixture
def crossed() -> Iterator[set[str]]:
    """File names of every Python call, of this thread and of threads that start from now on."""
    names: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        names.add(frame.f_code.co_filename)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    yield names
    sys.setprofile(before)
    threading.setprofile(before)


def test_a_preference_crosses_few_files(published: Path, crossed: set[str]) -> None:
    """Between the guard and the reply, on every thread; a file counts that each of several requests needs."""
    seen: list[set[str]] = []

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for _ in range(_REQUESTS):
            crossed.clear()
            reply = await client.post("/rm/v1/preference", json={"pairs": [_PAIR]})
            seen.append(set(crossed))
            assert reply.status_code == 200

    with_api(settings_for(published, repository={"poll_interval_s": 60, "dry_run": False}), story)
    every = set.intersection(*seen)
    ours = sorted(str(Path(name).relative_to(ROOT)) for name in every if name.startswith(f"{ROOT}/service/"))
    assert "service/api/guard.py" in ours
    page = (ROOT / "docs" / "architecture" / "01-request-path.md").read_text(encoding="utf-8")
    assert [name for name in ours if Path(name).name not in page] == [], "crossed, and not in the picture of the path"
    assert len(ours) <= MOST_FILES, f"{len(ours)}:\n" + "\n".join(ours)
