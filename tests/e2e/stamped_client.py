"""A client process: asks for 256 rewards at a time, without a pause, and checks whose weights and tokenizer made each.

Writes a line for each version it meets, {"met": k}, and, once its input is closed, what it saw: requests by status,
and how many replies were of more than one version, or of another than they said.
"""

import asyncio
import json
import random
import sys
from collections import Counter

import httpx

from service.domain import ScoreItem
from tests.stamped import WORDS, stamp_of

ITEMS = 256
CLIENTS = 3


class Ledger:
    """What all clients saw."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.met: set[int] = set()
        self.mixed = 0

    def note(self, items: list[ScoreItem], reply: httpx.Response) -> None:
        self.statuses[reply.status_code] += 1
        if reply.status_code != 200:
            return
        body = reply.json()
        stamps = {stamp_of(item, entry["reward"]) for item, entry in zip(items, body["items"], strict=True)}
        if stamps != {body["model"]["sequence"] - 1}:
            self.mixed += 1
        for stamp in stamps - self.met - {None}:
            self.met.add(stamp)  # type: ignore[arg-type]
            say({"met": stamp})


def say(record: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


async def ask(url: str, ledger: Ledger, stop: asyncio.Event, seed: int) -> None:
    """One connection, one request after the other."""
    source = random.Random(seed)  # noqa: S311 - not a secret
    async with httpx.AsyncClient(timeout=60) as session:
        while not stop.is_set():
            texts = [(" ".join(source.choices(WORDS, k=5)), " ".join(source.choices(WORDS, k=5))) for _ in range(ITEMS)]
            items = [ScoreItem(*text) for text in texts]
            body = {"items": [{"prompt": item.prompt, "response": item.response} for item in items]}
            ledger.note(items, await session.post(f"{url}/rm/v1/score", json=body))


async def main(url: str) -> None:
    """Ask until standard input is closed."""
    ledger, stop = Ledger(), asyncio.Event()
    clients = [asyncio.create_task(ask(url, ledger, stop, seed)) for seed in range(CLIENTS)]
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await asyncio.gather(*clients)
    say({"statuses": ledger.statuses, "mixed": ledger.mixed})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
