"""The client and the real service: every route, a version that moves, a process that dies."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest
from plurality_client import AsyncClient, Client, Item
from plurality_client.errors import InvalidRequest, Refused, UnknownModel, VersionChanged
from plurality_client.records import Model
from plurality_client.timing import Timing

from service.bundle.calibrate import expected_disagreement, sigmoid
from tests.e2e.process import plurality, serving
from tests.tiny import publish_tiny

pytestmark = pytest.mark.e2e
CHAT = [{"role": "user", "content": "Name a prime."}]
ITEMS = [Item("Name a prime.", f"It is {number}.") for number in range(70)]


def rewards_of(url: str, items: list[Item]) -> list[float]:
    """What the service says without the client, one request."""
    body = {"items": [item._asdict() for item in items]}
    return [item["reward"] for item in httpx.post(f"{url}/rm/v1/score", json=body, timeout=60).json()["items"]]


def test_rewards_are_the_service_s(service: str) -> None:
    """In order, over several requests, of one version: what one plain request says."""
    with Client(service, items_per_request=16) as client:
        scores = client.score(ITEMS)
        assert client.version() == scores.model
    assert scores.rewards == pytest.approx(rewards_of(service, ITEMS), abs=1e-5)
    assert (len(scores.request_ids), scores.truncated, scores.failures) == (5, 0, {})


def test_preferences_and_rankings_agree_with_rewards(service: str) -> None:
    """Margins, disagreement, order and advantages follow from the same rewards."""
    texts = ["Two.", "It is a prime.", "No."]
    with Client(service) as client:
        rewards = [reward or 0.0 for reward in client.score([(CHAT[0]["content"], text) for text in texts]).rewards]
        [pair] = client.preference([("Name a prime.", texts[0], texts[1])]).pairs
        ranking = client.rank("Name a prime.", texts, win_matrix=True, advantages=True)
    assert pair.reward_diff == pytest.approx(rewards[0] - rewards[1], abs=1e-5)
    assert pair.raw_probability == pytest.approx(sigmoid(rewards[0] - rewards[1]), abs=1e-5)
    assert pair.probability is not None
    assert pair.expected_disagreement == pytest.approx(expected_disagreement(pair.probability))
    assert list(ranking.order) == sorted(range(3), key=lambda place: -rewards[place])
    assert ranking.win_matrix is not None
    assert ranking.win_matrix[0][1] == pytest.approx(pair.probability, abs=1e-5)
    assert ranking.advantages is not None
    assert sum(value or 0.0 for value in ranking.advantages) == pytest.approx(0, abs=1e-6)


def test_truncation_is_told(service: str) -> None:
    """A prompt that does not fit is cut, and the item says by how much."""
    with Client(service) as client:
        [item] = client.score([("word " * 2000, "Yes.")]).items
        assert item.truncated
        assert item.cut_tokens > 0
        assert client.counts.truncated == 1


def test_models(service: str) -> None:
    """What is served, with its aliases; a digest of it can be asked for."""
    with Client(service) as client:
        [served] = client.models().served
        assert (served.model.name, served.aliases) == ("tiny", ("stable",))
        assert client.score(ITEMS[:1], model=served.model.selector).model == served.model


def test_what_the_service_refuses(service: str) -> None:
    """Unknown models, texts over the limit, wrong addresses."""
    with Client(service, model="nope") as client, pytest.raises(UnknownModel, match="tiny"):
        client.score(ITEMS[:1])
    with Client(service) as client, pytest.raises(InvalidRequest) as caught:
        client.score([("x" * 200_000, "y")])
    assert caught.value.code == "text_too_long"
    with Client(f"{service}/elsewhere") as client, pytest.raises(Refused, match="404"):
        client.models()


def test_awaited(service: str) -> None:
    """Many calls at once on one AsyncClient."""

    async def story() -> list[list[float | None]]:
        async with AsyncClient(service, concurrency=4) as client:
            calls = [client.score(ITEMS[start : start + 7]) for start in range(0, 70, 7)]
            return [scores.rewards for scores in await asyncio.gather(*calls)]

    rewards = [reward for part in asyncio.run(story()) for reward in part]
    assert rewards == pytest.approx(rewards_of(service, ITEMS), abs=1e-5)


def test_publishing_over_a_pinned_run(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an alias of its own the run's version stays and nothing changes; without, the run ends and says so."""
    monkeypatch.setenv("PLURALITY_REPOSITORY__POLL_INTERVAL_S", "0.05")
    monkeypatch.setenv("PLURALITY_REPOSITORY__KEEP_PREVIOUS", "0")  # a former version would go on answering the run
    keep = ["publish", "tiny", "stable", "--alias", "run-1", "--store", str(store)]
    with serving(store) as served, Client(served.api) as pinned, Client(served.api, pin="record") as recording:

        def aliases_of(model: Model) -> tuple[str, ...]:
            assert served.process.poll() is None
            return next((one.aliases for one in pinned.models().served if one.model == model), ())

        before = pinned.score(ITEMS[:2]).model
        recording.score(ITEMS[:2])
        assert before is not None
        assert plurality(*keep).returncode == 0
        publish_tiny(store, seed=1, calibrated=False)
        while aliases_of(before) != ("run-1",):
            pass
        assert pinned.score(ITEMS[:2]).model == before
        after = recording.score(ITEMS[:2]).model
        assert [(change.before, change.after) for change in recording.changes] == [(before, after)]
        assert plurality(*keep).returncode == 0
        while aliases_of(before):
            pass
        with pytest.raises(VersionChanged, match="no longer served"):
            pinned.score(ITEMS[:2])
        assert served.stop() == 0


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_service_that_dies_and_comes_back_costs_no_reward(published: Path) -> None:
    """The process is stopped, asked, and killed; once another listens in its place the call returns."""
    failed, restarted = threading.Event(), threading.Event()

    async def wait(_: float) -> None:
        failed.set()
        await asyncio.to_thread(restarted.wait, 120)

    port = str(free_port())
    with serving(published, "--port", port) as first, Client(first.api, timing=Timing(sleep=wait)) as client:
        expected = client.score(ITEMS).rewards
        first.process.send_signal(signal.SIGSTOP)
        call = client.submit_score(ITEMS)
        os.kill(first.process.pid, signal.SIGKILL)
        assert failed.wait(60)
        assert not call.done()
        with serving(published, "--port", port) as second:
            restarted.set()
            assert call.result(120).rewards == pytest.approx(expected, abs=1e-5)
            assert second.stop() == 0
