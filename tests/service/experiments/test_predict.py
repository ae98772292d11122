"""Votes are predicted by every arm's version, in the background, by a real store and scripted engines."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from plurality.core.pairs import ResponsePair
from service.errors import InferenceFailed
from service.experiments.definition import Experiment
from service.experiments.predict import BATCH_VOTES, Predictor
from service.feedback.database import FeedbackStore
from service.feedback.records import Judged, Vote
from service.versions.live import Live
from tests.fakes import ScriptedBackend
from tests.service.experiments.shelf import MODEL, Stage, Times, experiment, stage

SINCE = "2030-01-01T00:00:00Z"
CREATED = 2_000_000_000.0


def predicted(store: FeedbackStore, versions: Sequence[str]) -> list[Judged]:
    """The votes that all these versions have predicted."""
    return [row for row in store.judged(MODEL, versions) if row.predictions.keys() == set(versions)]


def vote(number: int, *, prompt: str = "a b") -> Vote:
    pair = ResponsePair(prompt, "c " * (number % 5 + 1), "d")
    return Vote(id=f"v{number}", pair=pair, share_a=1.0, voter="x", model=MODEL, created=CREATED + number)


def play(
    tmp_path: Path,
    votes: list[Vote],
    story: Callable[[Stage, Predictor, FeedbackStore], Awaitable[None]],
    *,
    candidate: ScriptedBackend | None = None,
    definition: Experiment | None = None,
    **limits: int,
) -> None:
    async def bounded() -> None:
        engines = {"stable": ScriptedBackend(), "candidate": candidate or Times(-1.0)}
        store = FeedbackStore(f"sqlite:///{tmp_path}/votes.db")
        store.open()
        store.add(votes)
        async with (
            asyncio.timeout(60),
            stage(definition or experiment(since=SINCE), engines, tmp_path, limits=limits) as on,
        ):
            live = cast("Live", on.shelf)
            clock = asyncio.get_running_loop().time
            predictor = Predictor(
                on.router.registry, live, on.scorer, on.gate, store, on.metrics.experiments,
                max_load=0.1, max_items=limits.get("max_items_per_request", 256), interval_s=0.01, clock=clock,
            )  # fmt: skip
            await story(on, predictor, store)
        store.close()

    asyncio.run(bounded())


def digests(on: Stage) -> tuple[str, str]:
    return on.shelf.bundles["stable"].digest, on.shelf.bundles["candidate"].digest


def test_every_vote_by_every_version(tmp_path: Path) -> None:
    """Batches until nothing is left; each prediction is its version's; votes before `since` are left alone."""
    old = Vote(id="old", pair=vote(0).pair, share_a=1.0, voter="x", model=MODEL, created=1.0)

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        while await predictor.step():
            pass
        judged = predicted(store, digests(on))
        assert [row.vote.id for row in judged] == [f"v{number}" for number in range(20)]
        for row in judged:
            one, two = (row.predictions[digest] for digest in digests(on))
            assert (two.reward_a, two.reward_b) == (-one.reward_a, -one.reward_b)
            assert one.probability + two.probability == pytest.approx(1.0)
        assert on.count("ab_predicted_votes_total", experiment="tone", arm="new") == 20
        assert max(len(batch) for batch in on.engines["stable"].batches) <= 2 * BATCH_VOTES

    play(tmp_path, [old, *(vote(number) for number in range(20))], story)


def test_votes_that_a_version_cannot_score(tmp_path: Path) -> None:
    """They are asked once and passed over; the other arm, and what can be scored, go on."""

    class Picky(ScriptedBackend):
        def __init__(self) -> None:
            super().__init__()
            self.on_run = self._refuse

        def _refuse(self, batch: object) -> None:
            if any(10 in row for row in self.batches[-1]):
                raise InferenceFailed("scripted")

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        for _ in range(10):
            await predictor.step()
        stable, candidate = digests(on)
        assert len(predicted(store, [stable])) == 20
        assert {row.vote.id for row in predicted(store, [candidate])} == {f"v{number}" for number in range(12, 20)}
        runs = len(on.engines["candidate"].batches)
        assert await predictor.step() == 0
        assert len(on.engines["candidate"].batches) == runs

    votes = [vote(number, prompt="g") for number in range(12)] + [vote(number) for number in range(12, 20)]
    play(tmp_path, votes, story, candidate=Picky())


def test_predictions_wait_for_room_and_the_database(tmp_path: Path) -> None:
    """While the service is busy nothing is predicted; a database that goes away costs a while, not the task."""

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        with on.gate.enter(items=1000, tokens=1):
            work = asyncio.create_task(predictor.run())
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert on.engines["stable"].batches == []
        while len(await asyncio.to_thread(predicted, store, digests(on))) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        (tmp_path / "votes.db").rename(tmp_path / "away.db")
        store.close()
        store.open()
        await asyncio.to_thread(store.add, [vote(number) for number in range(10, 14)])
        while len(await asyncio.to_thread(predicted, store, digests(on))) < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert not work.done()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    play(tmp_path, [vote(number) for number in range(3)], story)


def test_one_vote_that_is_refused_takes_no_other_with_it(tmp_path: Path) -> None:
    """A text beyond the limits of a request: that vote is passed over, and the log says how many were."""
    pair = ResponsePair("a", "c" * 200, "d")
    long = Vote(id="long", pair=pair, share_a=1.0, voter="x", model=MODEL, created=CREATED + 2.5)

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        with capture_logs() as logs:
            while await predictor.step():
                pass
        assert {row.vote.id for row in predicted(store, digests(on))} == {f"v{number}" for number in range(5)}
        told = [line for line in logs if line["event"] == "predictions_impossible"]
        assert [(line["arm"], line["votes"]) for line in told] == [("current", 1), ("new", 1)]
        assert "ccc" not in str(logs)

    play(tmp_path, [long, *(vote(number) for number in range(5))], story, max_characters_per_item=100)


def test_requests_that_hold_few_items(tmp_path: Path) -> None:
    """A batch is never larger than what one request may hold."""

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        assert await predictor.step() == 4
        while await predictor.step():
            pass
        assert len(predicted(store, digests(on))) == 9

    play(tmp_path, [vote(number) for number in range(9)], story, max_items_per_request=5)


def test_what_a_version_cannot_score_is_forgotten_with_it(tmp_path: Path) -> None:
    """A version that goes and comes again is asked again."""

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        candidate = on.shelf.bundles["candidate"].digest
        await predictor.step()
        assert predicted(store, [candidate]) == []
        on.engines["candidate"].factor = 2.0  # type: ignore[attr-defined]
        assert await predictor.step() == 0
        bundle = on.shelf.bundles.pop("candidate")
        await predictor.step()
        on.shelf.bundles["candidate"] = bundle
        assert await predictor.step() == 1

    play(tmp_path, [vote(0)], story, candidate=Times(float("nan")))


def test_one_manifest_of_no_known_age_stops_nothing(tmp_path: Path) -> None:
    """Its `created` is no time: the votes are predicted all the same."""

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        bundle = on.shelf.bundles["candidate"]
        bundle.manifest = bundle.manifest.model_copy(update={"created": "lately"})
        assert await predictor.step() == 2

    play(tmp_path, [vote(0)], story, definition=experiment())


def test_an_experiment_that_cannot_be_predicted_is_alone(tmp_path: Path) -> None:
    """The other models' experiments go on, whichever comes first."""

    async def story(on: Stage, predictor: Predictor, store: FeedbackStore) -> None:
        registry = on.router.registry
        other = registry.entries["tone"].experiment.model_copy(update={"name": "other", "model": "other"})
        good = registry.entries["tone"]
        registry.running = {"bad": replace(good, experiment=other), MODEL: good}
        ask = store.unpredicted

        def picky(model: str, *rest: object) -> list[Vote]:
            if model == "other":
                raise RuntimeError("scripted")
            return ask(model, *rest)  # type: ignore[arg-type]

        predictor._votes.unpredicted = picky  # type: ignore[method-assign, assignment]
        assert await predictor.step() == 2

    play(tmp_path, [vote(0)], story)
