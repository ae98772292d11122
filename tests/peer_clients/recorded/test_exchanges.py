"""Recorded requests to the service in this process; the numbers that their clients read are the native route's."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import settings_for, with_api
from tests.peer_clients.recorded.exchanges import EXCHANGES, Exchange
from tests.peer_clients.served import probabilities, stable


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.client)
def test_exchange(exchange: Exchange, published: Path, chat_store: Path) -> None:
    """200, JSON by its content type, and the rewards or probabilities of the items."""
    store = published if exchange.model == "pair" else chat_store

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        headers = [*exchange.headers, ("Content-Length", str(len(exchange.body)))]
        request = httpx.Request("POST", f"http://test{exchange.target}", headers=headers, content=exchange.body)
        reply = await client.send(request)
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == "application/json"
        rewards = await _native(client, exchange)
        expected = rewards if exchange.says == "reward" else probabilities(stable(store), rewards)
        assert exchange.read(reply.json()) == pytest.approx(expected, abs=1e-6)

    with_api(settings_for(store), story)


async def _native(client: httpx.AsyncClient, exchange: Exchange) -> list[float]:
    items: list[dict[str, Any]] = [{"prompt": prompt, "response": response} for prompt, response in exchange.scores]
    if not items:
        return []
    reply = await client.post("/rm/v1/score", json={"items": items})
    assert reply.status_code == 200, reply.text
    return [item["reward"] for item in reply.json()["items"]]


def test_bodies_are_json() -> None:
    """A recorded body that is no JSON would test nothing but the refusal of it."""
    for exchange in EXCHANGES:
        assert isinstance(json.loads(exchange.body), dict)
