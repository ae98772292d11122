"""Versions that another server computes: a second real service is that server, asked in each way that is known."""

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from service.app import Service
from service.domain import ScoreItem
from service.settings import Settings
from tests.api import error_of, settings_for, with_api
from tests.contract.test_dialect_rewards import random_items
from tests.e2e.process import serving, verb
from tests.tiny import publish_tiny

pytestmark = pytest.mark.e2e
BODY = {"items": [{"prompt": "What?", "response": "That."}, {"prompt": "Why?", "response": "Because of it."}]}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def imported(url: str, published_chat: Path, store: Path, kind: str = "plurality") -> None:
    """`plurality import --upstream` with the tokenizer of the upstream's model."""
    tokenizer = published_chat.parent / "checkpoint-chatty-0"
    words = ["import", url, "--upstream", kind, "--tokenizer", str(tokenizer), "--upstream-model", "chatty"]
    done = verb(*words, "--store", str(store), "--name", "front")
    assert done.returncode == 0, done.stderr
    assert "the server's own noise: max |Δ|" in done.stdout


def front(store: Path) -> Settings:
    """Settings of the service in front."""
    return settings_for(store, upstream={"check_s": 0.05})


async def rewards(client: httpx.AsyncClient, items: Sequence[ScoreItem]) -> list[float]:
    """Of the native route."""
    body = {"items": [{"prompt": item.prompt, "response": item.response} for item in items]}
    reply = await client.post("/rm/v1/score", json=body)
    assert reply.status_code == 200, reply.text
    return [entry["reward"] for entry in reply.json()["items"]]


def test_rewards_are_the_upstreams(published_chat: Path, tmp_path: Path) -> None:
    """To 1e-6, by each server's wire format, through the whole service in front."""
    items = random_items(200, seed=5)
    with serving(published_chat) as upstream:
        for kind in ("plurality", "vllm", "sglang"):
            imported(upstream.api, published_chat, tmp_path / kind, kind)

            async def story(client: httpx.AsyncClient, service: Service) -> None:
                async with httpx.AsyncClient(base_url=upstream.api, timeout=60) as behind:
                    found, expected = await asyncio.gather(rewards(client, items), rewards(behind, items))
                assert found == pytest.approx(expected, abs=1e-6)
                model = (await client.post("/rm/v1/score", json=BODY)).json()["model"]
                assert (model["name"], model["precision"]) == ("front", "upstream")

            with_api(front(tmp_path / kind), story)


def test_an_upstream_that_comes_and_goes(published_chat: Path, tmp_path: Path) -> None:
    """No reward is made up while it is away. Back with its weights it scores; with others it is refused, by name."""
    store, port = tmp_path / "store", str(free_port())
    other = tmp_path / "other" / "store"
    publish_tiny(other, "chatty", kind="llama", calibrated=False, seed=1)

    async def refused(client: httpx.AsyncClient, code: str) -> None:
        reply = await client.post("/rm/v1/score", json=BODY)
        assert int(reply.headers["retry-after"]) >= 1
        assert error_of(reply, 503)["code"] == code

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        async def until(ready: bool) -> None:
            while service.live.ready is not ready:  # noqa: ASYNC110 - the watch has no event
                await asyncio.sleep(0.01)

        assert not service.live.ready, "it was away at the start"
        await refused(client, "upstream_unavailable")
        with serving(published_chat, "--port", port) as again:
            await until(ready=True)
            assert (await client.post("/rm/v1/score", json=BODY)).json()["items"] == right
            again.process.kill()
            await until(ready=False)
            await refused(client, "upstream_unavailable")
        with serving(other, "--port", port):
            while "its weights changed; import it again" not in await said(client):
                assert not service.live.ready
                await asyncio.sleep(0.01)  # a refusal is answered without leaving the event loop to the watch
            await refused(client, "upstream_changed")

    async def said(client: httpx.AsyncClient) -> str:
        return str(error_of(await client.post("/rm/v1/score", json=BODY), 503)["message"])

    with serving(published_chat, "--port", port) as first:
        imported(first.api, published_chat, store)
        right = httpx.post(first.api + "/rm/v1/score", json=BODY).json()["items"]
    with_api(front(store), story)


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
