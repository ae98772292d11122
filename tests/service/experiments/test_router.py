"""Who answers: arms by unit, the control wherever an arm cannot, one version a response."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain import RawTokens, Reward, ScoreItem, ScoreQuery
from service.errors import DeadlineExceeded, InferenceFailed, MalformedRequest, Overloaded, TextTooLong
from service.experiments.arm_health import ArmCounters
from service.experiments.assign import PUBLIC_KEY, arm_of, bucket, named_unit
from service.experiments.definition import Experiment
from service.experiments.router import Asked
from tests.fakes import FORMAT, ScriptedBackend
from tests.service.experiments.shelf import Stage, Times, arm, experiment, stage

Story = Callable[[Stage], Awaitable[None]]


def play(
    tmp_path: Path,
    story: Story,
    definition: Experiment | None = None,
    *,
    candidate: ScriptedBackend | None = None,
    call_s: float = 1e-6,
) -> None:
    async def bounded() -> None:
        engines = {"stable": ScriptedBackend(), "candidate": candidate or Times(2.0)}
        async with asyncio.timeout(60), stage(definition or experiment(), engines, tmp_path, call_s=call_s) as set_up:
            await story(set_up)

    asyncio.run(bounded())


def rewards(served: Any) -> list[float]:
    assert all(isinstance(outcome, Reward) for outcome in served.scored.outcomes)
    return [outcome.value for outcome in served.scored.outcomes]


def counters_of(on: Stage, arm: str, version: str) -> ArmCounters:
    return on.router.registry.entries["tone"].seen(arm, on.shelf.bundles[version].digest).counters


def unit_in(name: str, definition: Experiment | None = None) -> str:
    """A unit of an arm."""
    from service.experiments.assign import allocate

    chosen = definition or experiment()
    allocation = allocate({arm.name: arm.weight for arm in chosen.arms})
    return next(
        str(i) for i in range(10_000)
        if arm_of(allocation, bucket(PUBLIC_KEY, chosen.name, named_unit(str(i)))) == name
    )  # fmt: skip


def test_units_stay_and_groups_share_an_arm(tmp_path: Path) -> None:
    """The same unit or prompt is always in one arm; all arms are met; each response is of one version."""

    async def story(on: Stage) -> None:
        arms: dict[str, set[str]] = {}
        for _ in range(2):
            for word in "abcdefg":
                served = await on.ask(*(ScoreItem(f"{word} b", answer) for answer in "abcd"))
                arms.setdefault(word, set()).add(served.labels["arm"])
                doubled = served.labels["arm"] == "new"
                assert (rewards(served)[1] - rewards(served)[0] == 2) == doubled
        assert all(len(found) == 1 for found in arms.values())
        assert set.union(*arms.values()) == {"current", "new"}
        assert on.count("ab_assigned_total", experiment="tone", arm="new") > 0

    play(tmp_path, story)


def test_several_prompts_without_a_unit_are_the_controls(tmp_path: Path) -> None:
    """Mixed prompts take no part unless they name a unit; the control's version answers them."""

    async def story(on: Stage) -> None:
        mixed = [ScoreItem("a", "a"), ScoreItem("b", "a")]
        served = await on.ask(*mixed)
        assert (served.labels, served.scored.digest) == ({}, on.shelf.bundles["stable"].digest)
        assert on.count("ab_unassigned_total", experiment="tone") == 1
        assert counters_of(on, "current", "stable").requests == 0
        assert (await on.ask(*mixed, unit=unit_in("new"))).labels["arm"] == "new"
        assert (await on.ask(*mixed, unit=unit_in("current"))).labels["arm"] == "current"
        tokens = ScoreQuery([RawTokens((1, 4, 2))], "fake", asyncio.get_running_loop().time() + 9)
        assert (await on.router.score(tokens, Asked())).labels == {}

    play(tmp_path, story)


def test_overrides(tmp_path: Path) -> None:
    """A request may name its arm or a version; what cannot be is refused, with what can."""

    async def story(on: Stage) -> None:
        item = ScoreItem("a", "b")
        for name in ("current", "new"):
            assert (await on.ask(item, arm=name)).labels == {"experiment": "tone", "arm": name}
        assert on.count("ab_overridden_total", experiment="tone", arm="new") == 1
        pinned = await on.ask(item, model="fake@candidate")
        assert (pinned.labels, pinned.scored.digest) == ({}, on.shelf.bundles["candidate"].digest)
        for model, asked, words in (
            ("fake", {"arm": "none"}, "arms: current, new"),
            ("fake@stable", {"arm": "new"}, "leave x-experiment-arm out"),
            ("fake", {"unit": ""}, "characters"),
            ("fake", {"unit": "u" * 257}, "characters"),
        ):
            with pytest.raises(MalformedRequest, match=words):
                await on.ask(item, model=model, **asked)  # type: ignore[arg-type]

    play(tmp_path, story)


def test_overrides_can_be_off(tmp_path: Path) -> None:
    """With overrides: false a named arm is refused."""

    async def story(on: Stage) -> None:
        with pytest.raises(MalformedRequest, match="overrides: false"):
            await on.ask(ScoreItem("a", "b"), arm="new")

    play(tmp_path, story, experiment(overrides=False))


def test_a_full_service_is_full_for_arms_too(tmp_path: Path) -> None:
    """Where there is no room the control would find none either: the refusal is the caller's."""

    async def story(on: Stage) -> None:
        with on.gate.enter(items=4096, tokens=1), pytest.raises(Overloaded):
            await on.ask(ScoreItem("a", "b"), arm="new")

    play(tmp_path, story)


def test_a_default_model_takes_part(tmp_path: Path) -> None:
    """A request that names no model is the only model's."""

    async def story(on: Stage) -> None:
        assert (await on.ask(ScoreItem("a", "b"), model=None)).labels["experiment"] == "tone"

    play(tmp_path, story)


def test_a_version_that_is_not_there(tmp_path: Path) -> None:
    """An arm, or the control itself, without a resident version is no error: who is there answers, counted."""

    async def story(on: Stage) -> None:
        served = await on.ask(ScoreItem("a", "b"), arm="new")
        assert served.labels["arm"] == "current"
        assert on.count("ab_fallback_total", experiment="tone", arm="new", reason="not_resident") == 1

    arms = [arm("current", "stable", weight=1), arm("new", "never-published", weight=1)]
    play(tmp_path, story, experiment(arms=arms))

    async def without_control(on: Stage) -> None:
        served = await on.ask(ScoreItem("a", "b"), arm="current")
        assert (served.labels, served.scored.digest) == ({}, on.shelf.bundles["stable"].digest)
        assert on.count("ab_fallback_total", experiment="tone", arm="current", reason="not_resident") == 1

    arms = [arm("current", "gone", weight=1), arm("new", "candidate", weight=1)]
    play(tmp_path, without_control, experiment(arms=arms))


class Failing(ScriptedBackend):
    def __init__(self) -> None:
        super().__init__()
        self.on_run = self._fail

    def _fail(self, batch: Any) -> None:
        raise InferenceFailed("scripted")


@pytest.mark.parametrize("broken", [Times(float("nan")), Failing()], ids=["nan", "raises"])
def test_a_broken_arm_hurts_nobody_and_is_turned_off(tmp_path: Path, broken: ScriptedBackend) -> None:
    """Every request of an arm that fails is answered by the control; after a few the arm is not asked any more."""

    async def story(on: Stage) -> None:
        for number in range(20):
            served = await on.ask(ScoreItem("a b", "c"), ScoreItem("a b", "d"), unit=unit_in("new"))
            assert rewards(served)[1] - rewards(served)[0] == 1, number
            assert served.labels["arm"] == "current"
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 1
        assert on.count("ab_fallback_total", experiment="tone", arm="new", reason="failed") == 5
        assert on.count("ab_fallback_total", experiment="tone", arm="new", reason="disabled") == 15

    play(tmp_path, story, candidate=broken)


def test_texts_that_no_version_can_score_do_not_turn_an_arm_off(tmp_path: Path) -> None:
    """Where the control fails on the same items, the arm is not to blame."""

    async def story(on: Stage) -> None:
        on.engines["stable"].on_run = on.engines["candidate"].on_run
        for _ in range(20):
            served = await on.ask(ScoreItem("a b", "c"), unit=unit_in("new"))
            assert isinstance(served.scored.outcomes[0], InferenceFailed)
        counters = counters_of(on, "new", "candidate")
        assert (counters.requests, counters.errors) == (20, 0)
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 0

    play(tmp_path, story, candidate=Failing())


def test_a_new_definition_turns_an_arm_on_again(tmp_path: Path) -> None:
    """Disabled until redefined: the same file read again changes nothing, another definition starts afresh."""

    async def story(on: Stage) -> None:
        for _ in range(6):
            await on.ask(ScoreItem("a b", "c"), arm="new")
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 1
        path = tmp_path / "experiments.yaml"
        path.write_text(path.read_text() + "\n")
        await on.router.registry.refresh()
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 1
        path.write_text(path.read_text().replace('"alpha":0.05', '"alpha":0.1'))
        await on.router.registry.refresh()
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 0
        on.engines["candidate"].factor = 2.0  # type: ignore[attr-defined]
        assert (await on.ask(ScoreItem("a b", "c"), arm="new")).labels["arm"] == "new"

    play(tmp_path, story, candidate=Times(float("nan")))


def test_a_slow_arm_does_not_cost_a_deadline(tmp_path: Path) -> None:
    """An arm whose queue is longer than the deadline allows is passed over at once."""

    async def story(on: Stage) -> None:
        on.engines["candidate"].gate.clear()
        held = [asyncio.create_task(on.ask(ScoreItem("a", "a"), arm="new", timeout_s=300))]
        await asyncio.to_thread(on.engines["candidate"].entered.acquire)
        held.append(asyncio.create_task(on.ask(ScoreItem("a", "b"), arm="new", timeout_s=300)))
        while on.shelf.bundles["candidate"].queued_s <= 0:  # noqa: ASYNC110
            await asyncio.sleep(0)
        served = await on.ask(ScoreItem("a", "a g"), arm="new", timeout_s=9)
        assert served.labels["arm"] == "current"
        assert on.count("ab_fallback_total", experiment="tone", arm="new", reason="slow") == 1
        assert counters_of(on, "new", "candidate").errors == 1
        on.engines["candidate"].gate.set()
        await asyncio.gather(*held)

    play(tmp_path, story, call_s=10.0)


def test_another_version_behind_the_alias_starts_afresh(tmp_path: Path) -> None:
    """The arm is off for the version that failed: the next is asked, and answers for itself only."""

    async def story(on: Stage) -> None:
        for _ in range(6):
            await on.ask(ScoreItem("a b", "c"), arm="new")
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 1
        assert counters_of(on, "new", "candidate").non_finite == 5
        shelf = on.shelf.bundles
        shelf["candidate"], shelf["next"] = shelf["next"], shelf["candidate"]
        assert (await on.ask(ScoreItem("a b", "c"), arm="new")).labels["arm"] == "new"
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 0
        counters = counters_of(on, "new", "candidate")
        assert (counters.requests, counters.errors, counters.non_finite) == (1, 0, 0)
        shelf["candidate"], shelf["next"] = shelf["next"], shelf["candidate"]
        assert (await on.ask(ScoreItem("a b", "c"), arm="new")).labels["arm"] == "current"

    async def bounded() -> None:
        engines = {"stable": ScriptedBackend(), "candidate": Times(float("nan")), "next": Times(2.0)}
        async with asyncio.timeout(60), stage(experiment(), engines, tmp_path) as on:
            await story(on)

    asyncio.run(bounded())


def test_an_arm_that_misses_deadlines_is_turned_off(tmp_path: Path) -> None:
    """The caller's time is gone, so the error is theirs; the arm is blamed, and soon not asked any more."""

    async def story(on: Stage) -> None:
        on.engines["candidate"].gate.clear()
        for _ in range(5):
            with pytest.raises(DeadlineExceeded):
                await on.ask(ScoreItem("a b", "c"), arm="new", timeout_s=0.05)
        counters = counters_of(on, "new", "candidate")
        assert (counters.requests, counters.errors) == (5, 5)
        assert on.count("ab_arm_disabled", experiment="tone", arm="new") == 1
        assert (await on.ask(ScoreItem("a b", "c"), arm="new")).labels["arm"] == "current"

    play(tmp_path, story)


def test_an_arm_that_refuses_what_the_control_takes(tmp_path: Path) -> None:
    """A text too long for the arm alone is the control's to answer and the arm's error; for both, it is not."""

    async def story(on: Stage) -> None:
        shorter = on.shelf.bundles["candidate"]
        shorter._tokenizer = replace(shorter._tokenizer, format=FORMAT.model_copy(update={"max_length": 8}))
        deadline = asyncio.get_running_loop().time() + 20
        for words, by, errors in ((10, "current", 1), (100, "new", 1)):
            query = ScoreQuery([ScoreItem("a", "b " * words)], "fake", deadline, truncate=False)
            served = await on.router.score(query, Asked(arm="new"))
            assert served.labels["arm"] == by
            assert isinstance(served.scored.outcomes[0], Reward if by == "current" else TextTooLong)
            assert counters_of(on, "new", "candidate").errors == errors
        assert counters_of(on, "current", "stable").errors == 0
        assert on.count("ab_fallback_total", experiment="tone", arm="new", reason="failed") == 1

    play(tmp_path, story)
