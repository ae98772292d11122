"""A run of the judge in this process, with time in the tests' hands."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plurality.core.rows import PreferenceRow
from plurality.training.judge.cache import Cache
from plurality.training.judge.client import Client, Endpoint
from plurality.training.judge.rate_limit import Timing
from plurality.training.judge.run import Judge, Outcome, Spent, judge_rows
from plurality.training.judge.settings import JudgeSettings
from tests.plurality.training.judge.conftest import Server

MODEL = "tiny-judge"


class FakeTime:
    """A clock that only sleeping moves, and what was slept."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Move the clock; others get their turn."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def timing(self) -> Timing:
        """All of it; chance is always in the middle."""
        return Timing(clock=lambda: self.now, wall=lambda: 1_700_000_000.0, sleep=self.sleep, chance=lambda: 0.5)


def judge(
    server: Server,
    rows: Sequence[PreferenceRow],
    cache: Path,
    *,
    concurrency: int = 3,
    max_failures: int = 0,
    time: FakeTime | None = None,
    endpoint: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[list[Outcome], Spent]:
    """Judge the rows against the server."""

    async def run() -> tuple[list[Outcome], Spent]:
        place = Endpoint(server.url, **(endpoint or {}))
        async with Client(place, concurrency=concurrency, timing=(time or FakeTime()).timing()) as client:
            asker = Judge(JudgeSettings.model_validate({"model": MODEL} | settings), kept, client)
            found = await judge_rows(
                rows, asker, concurrency=concurrency, max_failures=max_failures, tick=lambda spent: None
            )
            return found, asker.spent

    with Cache(cache) as kept:
        return asyncio.run(run())
