"""Engines in processes of their own: the same rewards, and what happens when a text or the system ends one."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from service.domain import Reward, ScoreItem, ScoreQuery
from service.engine.isolated import IsolatedEngine
from service.errors import DeadlineExceeded, InferenceFailed, TextQuarantined
from tests.api import error_of, settings_for, with_api
from tests.stamped import STEP, greedy_graph, hanging_graph, plant, publish_stamped, value

GOOD = [ScoreItem(f"w{n}", f"w{n + 1} w{n + 2}") for n in range(40)]
POISON = ScoreItem("w60 w61", "w62 w63")
Story = Callable[[httpx.AsyncClient, Service], Awaitable[None]]


def apart(store: Path, story: Story, **runtime: Any) -> None:
    """Run a story against a service whose engines are processes."""
    with_api(settings_for(store, runtime={"engine": "process", "threads": 1, **runtime}), story)


def engine_of(service: Service) -> IsolatedEngine:
    """The engine of the only version."""
    [version] = service.live.snapshot.resident.values()
    assert isinstance(version.engine, IsolatedEngine)
    return version.engine


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until a condition holds; the story's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


async def scored(service: Service, *items: ScoreItem, timeout_s: float = 60) -> list[Any]:
    """The outcomes of one request."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    return list((await service.scorer.score(ScoreQuery(items, None, deadline))).outcomes)


async def restarts(client: httpx.AsyncClient, service: Service) -> float:
    """The counter of restarted engines."""
    found = service.metrics.registry.get_sample_value("rm_engine_restarts_total", {"model": "stamped"})
    return found or 0.0


def right(outcomes: list[Any], items: list[ScoreItem]) -> bool:
    """Whether every outcome is the reward of its item, as version 0 gives it."""
    return [outcome.value for outcome in outcomes] == [value(item) for item in items]


def test_rewards_are_those_of_an_engine_in_the_service(published: Path) -> None:
    """To the last bit, whichever process computes them."""
    items = [ScoreItem(f"question {n}", f"answer {n} " * (1 + n % 7)) for n in range(40)]
    found: dict[str, list[Any]] = {}

    def story_of(kind: str) -> Story:
        async def story(client: httpx.AsyncClient, service: Service) -> None:
            found[kind] = [reward for item in items for reward in await scored(service, item)]

        return story

    with_api(settings_for(published, runtime={"threads": 1}), story_of("here"))
    apart(published, story_of("apart"))
    assert found["apart"] == found["here"]
    assert all(isinstance(outcome, Reward) for outcome in found["apart"])


def test_its_metrics_are_those_of_an_engine_in_the_service(tmp_path: Path) -> None:
    """Batches, rewards, tokens and duplicates are counted though another process saw them."""
    publish_stamped(tmp_path, 0)
    names = ("rm_score_count", "rm_input_tokens_total", "rm_batch_items_sum", "rm_queue_items")

    def story_of(found: dict[str, Any]) -> Story:
        async def story(client: httpx.AsyncClient, service: Service) -> None:
            assert right(await scored(service, *GOOD[:8]), GOOD[:8])
            read = service.metrics.registry.get_sample_value
            [digest] = service.live.snapshot.resident
            labels = {"model": "stamped", "version": digest[:12]}
            await until(lambda: read("rm_score_count", labels) == 8)
            totals: Mapping[str, float] = {
                sample.name: sample.value
                for metric in service.metrics.registry.collect()
                for sample in metric.samples
                if sample.name in names
            }
            found.update(totals)

        return story

    here: dict[str, float] = {}
    elsewhere: dict[str, float] = {}
    with_api(settings_for(tmp_path, runtime={"threads": 1}), story_of(here))
    apart(tmp_path, story_of(elsewhere))
    assert elsewhere == here
    assert elsewhere["rm_score_count"] == 8


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_engine_loses_nothing(tmp_path: Path, signal_number: int) -> None:
    """Whatever was queued or running is answered rightly by the next process; none is quarantined."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0, rounds=200_000)})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        engine = engine_of(service)
        for _ in range(2):
            killed = engine.pid
            waiting = [asyncio.create_task(scored(service, item)) for item in [POISON, *GOOD]]
            await until(lambda: engine.running)
            os.kill(killed or 0, signal_number)
            outcomes = [outcome for task in waiting for outcome in await task]
            assert right(outcomes, [POISON, *GOOD])
            assert engine.pid != killed
            assert engine.up
        assert await restarts(client, service) == 2

    apart(tmp_path, story)


def test_a_text_that_hangs_the_engine_is_quarantined(tmp_path: Path) -> None:
    """R3: its call is ended, it runs once more alone, then never again; all others get their rewards."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        waiting = [asyncio.create_task(scored(service, item)) for item in [*GOOD[:5], POISON, *GOOD[5:]]]
        outcomes = [outcome for task in waiting for outcome in await task]
        assert isinstance(outcomes.pop(5), TextQuarantined)
        assert right(outcomes, GOOD)
        body = {"items": [{"prompt": POISON.prompt, "response": POISON.response}, {"prompt": "w1", "response": "w2"}]}
        reply = (await client.post("/rm/v1/score", json=body)).json()
        assert reply["items"][0]["error"]["code"] == "text_quarantined"
        assert reply["items"][1]["reward"] == value(ScoreItem("w1", "w2"))
        assert await restarts(client, service) == 2, "one for each time it ran"

    apart(tmp_path, story, call_limit_s=1)


def test_clients_that_leave_do_not_hide_a_hang(tmp_path: Path) -> None:
    """A request that gave up before the hang was found still counts; the second time its text is quarantined."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for before in (0, 1):
            assert await restarts(client, service) == before
            with pytest.raises(Exception, match="deadline"):
                await scored(service, POISON, timeout_s=0.5)
            [outcome] = await scored(service, GOOD[0])
            assert right([outcome], GOOD[:1])
        assert isinstance((await scored(service, POISON))[0], TextQuarantined)

    apart(tmp_path, story, call_limit_s=1)


def test_too_much_memory_fails_the_item_alone(tmp_path: Path) -> None:
    """What the runtime refuses is that item's error; its batch-mates and the process go on."""
    plant(tmp_path, 0, {"model.onnx": greedy_graph(0)})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        pid = engine_of(service).pid
        outcomes = await scored(service, *GOOD[:3], POISON, *GOOD[3:])
        assert isinstance(outcomes.pop(3), InferenceFailed)
        assert right(outcomes, GOOD)
        assert engine_of(service).pid == pid

    apart(tmp_path, story)


def test_an_engine_that_does_not_start_again_is_said_to_be_away(tmp_path: Path) -> None:
    """While its files are gone: 503 with Retry-After and not ready; when they are back, it scores."""
    digest = publish_stamped(tmp_path, 0)
    folder = tmp_path / "stamped" / "versions" / digest
    hidden = tmp_path / "hidden"

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        engine = engine_of(service)
        folder.rename(hidden)
        os.kill(engine.pid or 0, signal.SIGKILL)
        body = {"items": [{"prompt": "w1", "response": "w2"}]}
        reply = await client.post("/rm/v1/score", json=body)
        while reply.status_code == 200:
            reply = await client.post("/rm/v1/score", json=body)
        assert error_of(reply, 503)["code"] == "engine_restarting"
        assert int(reply.headers["retry-after"]) >= 1
        assert not service.live.ready
        hidden.rename(folder)
        await until(lambda: service.live.ready)
        reply = await client.post("/rm/v1/score", json=body)
        assert reply.json()["items"][0]["reward"] == value(ScoreItem("w1", "w2"))

    apart(tmp_path, story)


def test_closing_ends_the_process_though_a_call_hangs(tmp_path: Path) -> None:
    """Nothing waits for a hung engine; who still waited is told that the service stops."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})
    pids: list[int] = []

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        engine = engine_of(service)
        pids.append(engine.pid or 0)
        waiting = asyncio.create_task(scored(service, POISON))
        await until(lambda: engine.running)
        await service.live.aclose(timeout_s=0)
        with pytest.raises(Exception, match="stopped"):
            await waiting

    apart(tmp_path, story)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_versions_do_not_share_a_fate(tmp_path: Path) -> None:
    """One version's hang leaves the other version's process alone."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})
    publish_stamped(tmp_path, 1, model="other")

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        loop = asyncio.get_running_loop()
        hung = asyncio.create_task(service.scorer.score(ScoreQuery([POISON], "stamped", loop.time() + 30)))
        for _ in range(20):
            found = await service.scorer.score(ScoreQuery(GOOD, "other", loop.time() + 30))
            rewards = [outcome.value for outcome in found.outcomes if isinstance(outcome, Reward)]
            assert rewards == [value(item) + STEP for item in GOOD]
        assert isinstance((await hung).outcomes[0], TextQuarantined)

    apart(tmp_path, story, call_limit_s=0.5)


@pytest.mark.parametrize("missing", ["_watch", "_supervise"])
def test_without_supervision_the_version_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The control of the tests above: with the watchdog or the supervisor taken out, nothing is scored any more."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})

    async def asleep(engine: IsolatedEngine) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(IsolatedEngine, missing, asleep)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        engine = engine_of(service)
        poisoned = asyncio.create_task(scored(service, POISON, timeout_s=2))
        await until(lambda: engine.running)
        if missing == "_supervise":
            os.kill(engine.pid or 0, signal.SIGKILL)
        with pytest.raises(DeadlineExceeded):
            await scored(service, GOOD[0], timeout_s=2)
        with pytest.raises(DeadlineExceeded):
            await poisoned

    apart(tmp_path, story, call_limit_s=0.5)
