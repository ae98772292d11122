"""Engine processes as an operator meets them: a hang, a kill, a signal, with real processes and clients."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from service.domain import ScoreItem
from tests.e2e.process import Served, serving
from tests.stamped import hanging_graph, plant, publish_stamped, value

pytestmark = pytest.mark.e2e
POISON = {"items": [{"prompt": "w60 w61", "response": "w62 w63"}]}
GOOD = ScoreItem("w1 w2", "w3 w4")
GOOD_BODY = {"items": [{"prompt": GOOD.prompt, "response": GOOD.response}]}


def environment(call_limit_s: float = 1.0) -> dict[str, str]:
    """One thread, and a short limit of an engine call."""
    return {**os.environ, "PLURALITY_RUNTIME__CALL_LIMIT_S": str(call_limit_s), "PLURALITY_RUNTIME__THREADS": "1"}


def engines(served: Served) -> list[psutil.Process]:
    """The engine processes of a service."""
    children = psutil.Process(served.process.pid).children()
    return [child for child in children if "service.versions.engine_child" in child.cmdline()]


def test_a_hang_is_found_and_the_service_whole_again(tmp_path: Path) -> None:
    """R3: while the engine is replaced the replica is not ready; then the next text is right, and the poison known."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})
    with serving(tmp_path, env=environment()) as served:

        async def story() -> None:
            async with httpx.AsyncClient(timeout=60) as client:
                poisoned = asyncio.create_task(client.post(served.api + "/rm/v1/score", json=POISON))
                seen: set[int] = set()
                while not poisoned.done():
                    seen.add((await client.get(served.ops + "/readyz")).status_code)
                assert seen == {200, 503}
                [item] = (await poisoned).json()["items"]
                assert item["error"]["code"] == "text_quarantined"
                reply = await client.post(served.api + "/rm/v1/score", json=GOOD_BODY)
                assert reply.json()["items"][0]["reward"] == value(GOOD)
                assert (await client.get(served.ops + "/readyz")).status_code == 200
                shown = (await client.get(served.ops + "/metrics")).text
                assert 'rm_engine_restarts_total{model="stamped"} 2.0' in shown

        asyncio.run(story())
        assert served.stop() == 0


def test_sigterm_while_a_call_hangs(tmp_path: Path) -> None:
    """It ends by itself within the time to finish, exit code 0, and leaves no process behind."""
    plant(tmp_path, 0, {"model.onnx": hanging_graph(0)})
    with serving(tmp_path, "--graceful-timeout-s", "1", env=environment(60)) as served:
        [engine] = engines(served)

        async def story() -> httpx.Response:
            async with httpx.AsyncClient(timeout=60) as client:
                poisoned = asyncio.create_task(client.post(served.api + "/rm/v1/score", json=POISON))
                busy = engine.cpu_times().user
                while engine.cpu_times().user < busy + 0.2:  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0)
                served.process.terminate()
                return await poisoned

        assert asyncio.run(story()).status_code == 503
        assert served.wait() == 0
        assert not engine.is_running()


def test_a_store_named_relative_to_the_working_directory(tmp_path: Path) -> None:
    """As `plurality serve --store store` names it, with a cache folder beside it."""
    publish_stamped(tmp_path / "store", 0)
    with serving("store", cwd=tmp_path, env={**environment(), "PLURALITY_CACHE_DIR": "cache"}) as served:
        reply = httpx.post(served.api + "/rm/v1/score", json=GOOD_BODY)
        assert reply.json()["items"][0]["reward"] == value(GOOD)
        assert list((tmp_path / "cache" / "profiles").iterdir())
        assert served.stop() == 0


def test_signals_to_the_whole_group_are_the_services_own(tmp_path: Path) -> None:
    """Ctrl-C, and what an init system sends, reach the engines too: they go on, for the service drains first."""
    publish_stamped(tmp_path, 0)
    with serving(tmp_path) as served:
        [engine] = engines(served)
        for number in (signal.SIGINT, signal.SIGTERM):
            engine.send_signal(number)
            reply = httpx.post(served.api + "/rm/v1/score", json=GOOD_BODY)
            assert reply.json()["items"][0]["reward"] == value(GOOD)
        assert engines(served) == [engine]
        assert served.stop() == 0
    assert not [entry for entry in served.log if entry["event"] == "engine_ended"]


def test_engines_end_with_a_service_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL of the service: its engines do not outlive it."""
    publish_stamped(tmp_path, 0)
    with serving(tmp_path) as served:
        [engine] = engines(served)
        served.process.kill()
        engine.wait(30)


def test_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    """kill -9 of the engine again and again under eight clients: every reward comes, and is right."""
    publish_stamped(tmp_path, 0)
    with serving(tmp_path, env=environment()) as served:

        async def client_of(client: httpx.AsyncClient, stop: asyncio.Event) -> list[Any]:
            replies = []
            while not stop.is_set():
                reply = await client.post(served.api + "/rm/v1/score", json=GOOD_BODY)
                replies.append((reply.status_code, reply.json()["items"][0].get("reward")))
            return replies

        async def story() -> list[Any]:
            stop = asyncio.Event()
            async with httpx.AsyncClient(timeout=60) as client:
                tasks = [asyncio.create_task(client_of(client, stop)) for _ in range(8)]
                for _ in range(3):
                    [engine] = await asyncio.to_thread(_wait_for_engine, served)
                    engine.kill()
                    await client.post(served.api + "/rm/v1/score", json=GOOD_BODY)
                stop.set()
                return [reply for task in tasks for reply in await task]

        replies = asyncio.run(story())
        assert set(replies) == {(200, value(GOOD))}
        assert served.stop() == 0


def _wait_for_engine(served: Served) -> list[psutil.Process]:
    while True:
        found = [engine for engine in engines(served) if engine.status() != psutil.STATUS_ZOMBIE]
        if found:
            return found
        time.sleep(0.01)
