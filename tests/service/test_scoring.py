"""The Scorer: batch invariance against torch, deadlines, leaving clients, shutdown."""

import asyncio
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_export.checkpoint import Checkpoint, open_checkpoint
from service.app import Service
from service.domain import Reward, ScoreItem, ScoreQuery
from service.errors import DeadlineExceeded, Draining, Overloaded
from tests.api import settings_for, with_api

FAR = 60.0
texts = st.one_of(
    st.text(max_size=60),
    st.sampled_from(["", "same text", "word " * 700, "\u0000", "é" * 50, "[SEP]", "👩‍👩‍👧‍👦", "\u202e"]),
    st.text(alphabet="abc ,.\n", min_size=100, max_size=2000),
)
many_items = st.lists(st.builds(ScoreItem, texts, texts), min_size=1, max_size=64)


@pytest.fixture(scope="module")
def checkpoint(tiny_checkpoint: Path) -> Checkpoint:
    return open_checkpoint(str(tiny_checkpoint))


async def score(service: Service, items: list[ScoreItem], *, timeout_s: float = FAR) -> list[float]:
    deadline = asyncio.get_running_loop().time() + timeout_s
    outcomes = (await service.scorer.score(ScoreQuery(items, None, deadline))).outcomes
    return [outcome.value for outcome in outcomes if isinstance(outcome, Reward)]


def test_any_batch_gives_torchs_rewards(published: Path, checkpoint: Checkpoint) -> None:
    """Whatever else is in the batch, each reward is torch's to 1e-5: 1..64 items, any lengths, any Unicode."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        loop = asyncio.get_running_loop()

        @settings(max_examples=25, suppress_health_check=list(HealthCheck))
        @given(many_items, many_items)
        def check(items: list[ScoreItem], neighbors: list[ScoreItem]) -> None:
            both = asyncio.run_coroutine_threadsafe(_together(service, items, neighbors), loop).result(60)
            expected = np.array(checkpoint.logits(checkpoint.encode(items), double=True)) - bundle.manifest.center
            assert np.abs(np.array(both) - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())

        await asyncio.to_thread(check)

    with_api(settings_for(published), story)


async def _together(service: Service, items: list[ScoreItem], neighbors: list[ScoreItem]) -> list[float]:
    mine, _ = await asyncio.gather(score(service, items), score(service, neighbors))
    return mine


def test_a_deadline_in_the_past(published: Path) -> None:
    """Too late is an error of the whole request, and the room it took is free again."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        with pytest.raises(DeadlineExceeded):
            await score(service, [ScoreItem("a", "b")], timeout_s=-1.0)
        assert (service.gate.items, service.gate.tokens) == (0, 0)
        reply = await client.post(
            "/rm/v1/score",
            json={"items": [{"prompt": "a " * 500, "response": "b"}] * 200},
            headers={"x-request-timeout-ms": "1"},
        )
        assert reply.status_code == 504

    with_api(settings_for(published), story)


def test_a_leaving_client_gives_its_room_back(published: Path) -> None:
    """Cancelled in the middle: nothing stays counted, and what was queued does not run."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        task = asyncio.create_task(score(service, [ScoreItem("word " * 400, str(i)) for i in range(200)]))
        while service.gate.items == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (service.gate.items, service.gate.tokens) == (0, 0)
        assert len(await score(service, [ScoreItem("a", "b")])) == 1

    with_api(settings_for(published), story)


def test_a_full_queue(published: Path) -> None:
    """What does not fit now is refused with 503 and Retry-After; what is inside finishes."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        first = asyncio.create_task(score(service, [ScoreItem("word " * 300, str(i)) for i in range(4)]))
        while service.gate.items == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await score(service, [ScoreItem("a", "b")])
        reply = await client.post("/rm/v1/score", json={"items": [{"prompt": "a", "response": "b"}]})
        assert reply.status_code == 503
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        assert len(await first) == 4

    with_api(settings_for(published, limits={"max_queue_items": 4}), story)


def test_what_would_be_late_is_refused_at_once(published: Path) -> None:
    """Behind a queue that its deadline cannot outlast, a request gets 503 and Retry-After, and costs no engine time."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        first = asyncio.create_task(score(service, [ScoreItem("word " * 300, str(i)) for i in range(200)]))
        while bundle.queued_s == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        reply = await client.post(
            "/rm/v1/score",
            json={"items": [{"prompt": "a", "response": "b"}]},
            headers={"x-request-timeout-ms": str(max(1, int(1000 * bundle.queued_s)))},
        )
        assert reply.status_code == 503
        assert reply.json()["error"]["code"] == "overloaded"
        assert 1 <= int(reply.headers["retry-after"]) <= 60
        patient = await score(service, [ScoreItem("a", "b")])
        assert (len(patient), len(await first)) == (1, 200)
        assert (service.gate.items, service.gate.tokens) == (0, 0)

    with_api(settings_for(published), story)


def test_without_refusing_late_requests_wait(published: Path) -> None:
    """The ablation switch: the same request waits, and fails when its deadline passes."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        first = asyncio.create_task(score(service, [ScoreItem("word " * 300, str(i)) for i in range(200)]))
        while bundle.queued_s == 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceeded):
            await score(service, [ScoreItem("a", "b")], timeout_s=0.001)
        assert len(await first) == 200

    with_api(settings_for(published, limits={"refuse_late": False}), story)


def test_shutdown_fails_requests_as_a_whole(published: Path) -> None:
    """An engine that is taken away answers Draining: a request, not an item, is to be sent again."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        task = asyncio.create_task(score(service, [ScoreItem("word " * 400, str(i)) for i in range(100)]))
        [bundle] = service.live.snapshot.resident.values()
        labels = {"model": "tiny", "version": bundle.digest[:12]}
        while not service.metrics.registry.get_sample_value("rm_queue_items", labels):  # noqa: ASYNC110
            await asyncio.sleep(0)
        await service.live.aclose(timeout_s=0.0)
        with pytest.raises(Draining):
            await task

    with_api(settings_for(published), story)
