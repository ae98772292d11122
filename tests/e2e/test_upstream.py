"""Versions that another server computes: a second real service is that server, asked in each way that is known."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import error_of, settings_for, with_api
from tests.contract.test_dialect_rewards import random_items
from tests.e2e.process import serving, verb
from tests.tiny import publish_tiny

pytestmark = pytest.mark.e2e
BODY = {"items": [{"prompt": "What?", "response": "That."}, {"prompt": "Why?", "response": "Because of it."}]}


@pytest.fixture(scope="module")
def port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


@pytest.fixture(scope="module")
def checkpoint(published_chat: Path) -> Path:
    """Tokenizer and configuration of the upstream's model."""
    return published_chat.parent / "checkpoint-chatty-0"


def imported(url: str, checkpoint: Path, store: Path, kind: str = "plurality") -> str:
    """`plurality import --upstream`; what it said."""
    words = ["import", url, "--upstream", kind, "--tokenizer", str(checkpoint), "--upstream-model", "chatty"]
    done = verb(*words, "--store", str(store), "--name", "front")
    assert done.returncode == 0, done.stderr
    return done.stdout


def front(store: Path) -> Any:
    """Settings of the service in front."""
    return settings_for(store, upstream={"check_s": 0.05})


async def rewards(client: httpx.AsyncClient, items: Sequence[Any]) -> list[float]:
    """Of the native route."""
    body = {"items": [{"prompt": item.prompt, "response": item.response} for item in items]}
    reply = await client.post("/rm/v1/score", json=body)
    assert reply.status_code == 200, reply.text
    return [entry["reward"] for entry in reply.json()["items"]]


@pytest.mark.parametrize("kind", ["plurality", "vllm", "sglang"])
def test_rewards_are_the_upstreams(kind: str, published_chat: Path, checkpoint: Path, tmp_path: Path) -> None:
    """1,000 texts, to 1e-6, by each server's wire format; calibration works in front of it."""
    items = random_items(1000, seed=5)
    with serving(published_chat) as upstream:
        assert "the server's own noise: max |Δ|" in imported(upstream.api, checkpoint, tmp_path, kind)

        async def story(client: httpx.AsyncClient, service: Service) -> None:
            async with httpx.AsyncClient(base_url=upstream.api, timeout=60) as behind:
                for start in range(0, len(items), 100):
                    group = items[start : start + 100]
                    found, expected = await asyncio.gather(rewards(client, group), rewards(behind, group))
                    assert found == pytest.approx(expected, abs=1e-6)
            model = (await client.post("/rm/v1/score", json=BODY)).json()["model"]
            assert (model["name"], model["precision"]) == ("front", "upstream")

        with_api(front(tmp_path), story)


def test_an_upstream_that_dies(published_chat: Path, checkpoint: Path, tmp_path: Path, port: int) -> None:
    """No reward is made up while it is away. Back with its weights it scores again; with others it is refused."""
    other = tmp_path / "other" / "store"
    publish_tiny(other, "chatty", kind="llama", calibrated=False, seed=1)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        async def until(ready: bool) -> None:
            while service.live.ready is not ready:  # noqa: ASYNC110 - the watch has no event
                await asyncio.sleep(0.01)

        async def refused(code: str) -> str:
            reply = await client.post("/rm/v1/score", json=BODY)
            assert int(reply.headers["retry-after"]) >= 1
            error = error_of(reply, 503)
            assert error["code"] == code
            return str(error["message"])

        right = (await client.post("/rm/v1/score", json=BODY)).json()["items"]
        first.process.kill()
        await until(ready=False)
        assert "does not answer" in await refused("upstream_unavailable")
        with ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, serving(published_chat, "--port", str(port)))
            await until(ready=True)
            assert (await client.post("/rm/v1/score", json=BODY)).json()["items"] == right
        with ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, serving(other, "--port", str(port)))
            while "its weights changed; import it again" not in await refused_message(client):
                assert not service.live.ready
            assert "its weights changed" in await refused("upstream_changed")

    async def refused_message(client: httpx.AsyncClient) -> str:
        return str(error_of(await client.post("/rm/v1/score", json=BODY), 503)["message"])

    with serving(published_chat, "--port", str(port)) as first:
        imported(first.api, checkpoint, tmp_path / "store")
        with_api(front(tmp_path / "store"), story)


def test_a_server_that_is_away_at_the_start(published_chat: Path, checkpoint: Path, tmp_path: Path, port: int) -> None:
    """The version is loaded, not ready, and scores once the server is there."""
    with serving(published_chat, "--port", str(port)) as upstream:
        imported(upstream.api, checkpoint, tmp_path)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert not service.live.ready
        assert error_of(await client.post("/rm/v1/score", json=BODY), 503)["code"] == "upstream_unavailable"
        with ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, serving(published_chat, "--port", str(port)))
            while not service.live.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert (await client.post("/rm/v1/score", json=BODY)).status_code == 200

    with_api(front(tmp_path), story)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["http://127.0.0.1:9", "--upstream", "vllm"], "--upstream needs --tokenizer"),
        (["localhost", "--upstream", "vllm", "--tokenizer", "x"], "no URL"),
        (["http://me:secret@127.0.0.1", "--upstream", "vllm", "--tokenizer", "x"], "without user and password"),
    ],
)
def test_what_cannot_be_imported(words: list[str], said: str, tmp_path: Path) -> None:
    """The cause and the cure, and no password repeated."""
    done = verb("import", *words, "--store", str(tmp_path), "--name", "front")
    assert done.returncode != 0
    assert said in done.stderr
    assert "secret" not in done.stderr
