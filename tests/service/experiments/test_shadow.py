"""A shadow that is slow, fails, has no room or no version: the primary does not notice, each drop is counted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from service.admission import Gate
from service.domain import RawTokens, Reward, ScoreItem
from service.errors import BundleRejected, DeadlineExceeded, InferenceFailed
from service.experiments.arm_health import ArmCounters
from service.experiments.assign import neighbors
from tests.fakes import ManualClock, ScriptedBackend
from tests.service.experiments.shelf import Stage, Times, shadowed, stage

PAIR = (ScoreItem("a b", "c"), ScoreItem("a b", "d"))
QUIET = {"experiment": "tone", "arm": "quiet"}


def play(
    tmp_path: Path,
    story: Callable[[Stage], Awaitable[None]],
    candidate: ScriptedBackend,
    version: str = "candidate",
    **overrides: Any,
) -> None:
    async def bounded() -> None:
        engines = {"stable": ScriptedBackend(), "candidate": candidate}
        async with asyncio.timeout(60), stage(shadowed(version), engines, tmp_path, **overrides) as set_up:
            await story(set_up)

    asyncio.run(bounded())


async def answered(on: Stage, times: int = 1) -> None:
    """Primaries that are answered in full, by the control."""
    for _ in range(times):
        served = await on.ask(*PAIR)
        assert all(isinstance(outcome, Reward) for outcome in served.scored.outcomes)
        assert (served.labels["arm"], served.scored.digest) == ("current", on.shelf.bundles["stable"].digest)


@pytest.mark.parametrize(("factor", "flips", "shift"), [(-1.0, 3, 0.0), (3.0, 0, 2.0)])
def test_agreement_is_counted(tmp_path: Path, factor: float, flips: int, shift: float) -> None:
    """Pairs that the two order differently, and how much surer the shadow is, in units of T."""

    async def story(on: Stage) -> None:
        await answered(on, 3)
        await on.shadows._jobs.join()
        assert on.count("ab_compared_total", **QUIET) == 3
        assert on.count("ab_disagreement_total", **QUIET) == flips
        assert on.count("ab_rank_flip_ratio", **QUIET) == flips / 3
        assert on.count("ab_reward_diff_shift", **QUIET) == pytest.approx(shift)

    play(tmp_path, story, Times(factor))


def test_a_slow_shadow(tmp_path: Path) -> None:
    """While the shadow's engine hangs, primaries are answered; what does not fit its queue is dropped, nothing else."""

    async def story(on: Stage) -> None:
        on.engines["candidate"].gate.clear()
        await answered(on)
        await asyncio.to_thread(on.engines["candidate"].entered.acquire)
        await answered(on, 10)
        assert on.count("shadow_dropped_total", experiment="tone", reason="full") == 18
        assert on.count("ab_compared_total", **QUIET) == 0
        on.engines["candidate"].gate.set()
        await on.shadows._jobs.join()
        assert on.count("ab_compared_total", **QUIET) == 2

    play(tmp_path, story, Times(2.0), experiments={"shadow_items": 4, "background_load": 0.5})


class Failing(ScriptedBackend):
    def __init__(self) -> None:
        super().__init__()
        self.on_run = self._fail

    def _fail(self, batch: Any) -> None:
        raise InferenceFailed("scripted")


@pytest.mark.parametrize(
    ("candidate", "version", "reason"),
    [
        (Failing(), "candidate", "item_error"),
        (Times(float("nan")), "candidate", "item_error"),
        (Times(2.0), "never-published", "not_resident"),
        (Times(2.0), "stable", "same_version"),
    ],
)
def test_a_shadow_that_cannot(tmp_path: Path, candidate: ScriptedBackend, version: str, reason: str) -> None:
    """It fails, it is not there, it is the version that answered: dropped by cause, and the next goes on."""

    async def story(on: Stage) -> None:
        await answered(on, 2)
        await on.shadows._jobs.join()
        assert on.count("shadow_dropped_total", experiment="tone", reason=reason) == 4
        assert on.count("ab_compared_total", **QUIET) == 0
        await answered(on)

    play(tmp_path, story, candidate, version)


def test_a_shadow_waits_for_room(tmp_path: Path) -> None:
    """While the service is busy no shadow goes in; when there is room again, it does."""

    async def story(on: Stage) -> None:
        with on.gate.enter(items=500, tokens=1):
            await answered(on)
            for _ in range(50):
                await asyncio.sleep(0)
            assert on.engines["candidate"].batches == []
        await on.shadows._jobs.join()
        assert on.count("ab_compared_total", **QUIET) == 1

    play(tmp_path, story, Times(2.0))


def test_a_shadow_gives_way(tmp_path: Path) -> None:
    """What does not fit beside others when its turn comes is dropped as busy."""

    async def story(on: Stage) -> None:
        four = [ScoreItem("a b", word) for word in "abcd"]
        await on.ask(*four)
        with on.gate.enter(items=1, tokens=1):
            await on.shadows._jobs.join()
        assert on.count("shadow_dropped_total", experiment="tone", reason="busy") == 4
        assert on.engines["candidate"].batches == []

    limits = {"max_queue_items": 4}
    play(tmp_path, story, Times(2.0), limits=limits, experiments={"background_load": 0.5})


def test_below_waits_for_room() -> None:
    """`Gate.below` wakes when room is given back, and takes none itself."""

    async def story() -> None:
        clock = ManualClock()
        gate = Gate(max_items=10, max_tokens=1000, clock=clock)
        gate_deadline = clock.now + 60
        permit = gate.enter(items=5, tokens=1)
        waiting, gone = (asyncio.create_task(gate.below(0.5)) for _ in range(2))
        await asyncio.sleep(0)
        assert not waiting.done()
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        with permit:
            pass
        await asyncio.wait_for(waiting, 5)
        assert (gate.items, gate.load) == (0, 0.0)
        with gate.enter(items=10, tokens=1):
            outside = asyncio.create_task(gate.enter_when_free(items=1, tokens=1, deadline=gate_deadline))
            await asyncio.sleep(0)
            assert gate.load == 1.0
        with await outside:
            assert gate.load == 0.1

    asyncio.run(story())


def test_neighbors() -> None:
    """Each item with the last before it of the same prompt."""
    prompts = ["p", "p", "q", "p", "q"]
    assert neighbors([ScoreItem(prompt, "x") for prompt in prompts]) == [(0, 1), (1, 3), (2, 4)]
    assert neighbors([RawTokens((1,)), RawTokens((1,))]) == []


def test_a_shadow_that_breaks_does_not_end_the_others(tmp_path: Path) -> None:
    """Whatever is raised behind a shadow is counted and logged; the next one runs. What waits in vain is late."""

    async def story(on: Stage) -> None:
        score = on.scorer.score
        for error, reason in (
            (RuntimeError("scripted"), "failed"),
            (DeadlineExceeded("scripted"), "late"),
            (BundleRejected("scripted", reason="io"), "failed"),
        ):
            before = on.count("shadow_dropped_total", experiment="tone", reason=reason)
            served = await on.ask(*PAIR)
            on.scorer.score = AsyncMock(side_effect=error)  # type: ignore[method-assign]
            await on.shadows._jobs.join()
            on.scorer.score = score  # type: ignore[method-assign]
            assert served.labels["arm"] == "current"
            assert on.count("shadow_dropped_total", experiment="tone", reason=reason) == before + 2
        await answered(on)
        await on.shadows._jobs.join()
        assert on.count("ab_compared_total", **QUIET) == 1

    play(tmp_path, story, Times(2.0))


def counters_of(on: Stage, arm: str, version: str) -> ArmCounters:
    return on.router.registry.entries["tone"].seen(arm, on.shelf.bundles[version].digest).counters


@pytest.mark.parametrize("shared", [False, True])
def test_a_shadow_is_blamed_for_what_the_primary_could_score(tmp_path: Path, shared: bool) -> None:
    """Its NaN is its own only where the answer that was given held a number; its time is nobody's measure."""

    async def story(on: Stage) -> None:
        on.engines["stable"].factor = float("nan") if shared else 1.0  # type: ignore[attr-defined]
        await on.ask(*PAIR)
        await on.shadows._jobs.join()
        counters = counters_of(on, "quiet", "candidate")
        assert (counters.requests, counters.errors, counters.non_finite) == ((1, 0, 0) if shared else (1, 1, 2))
        assert counters.p95_s is None
        assert counters_of(on, "current", "stable").p95_s is not None

    async def bounded() -> None:
        engines = {"stable": Times(1.0), "candidate": Times(float("nan"))}
        async with asyncio.timeout(60), stage(shadowed(), engines, tmp_path) as on:
            await story(on)

    asyncio.run(bounded())
