"""The batcher's invariants I1-I9 (docs/architecture/02-batching.md), on a real event loop with a scripted engine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import Outcome, Reward
from service.engine.batcher import Batcher
from service.engine.policy import BatchLimits, Policy
from service.engine.queue import PendingQueue
from service.errors import DeadlineExceeded, Draining, InferenceFailed, NonFiniteReward
from service.telemetry.metrics import Metrics, ModelMetrics
from tests.fakes import BATCHING_PAYS, NAN, POISON, ManualClock, ScriptedBackend, encoding, loaded

FAR = 1e12
POLICY = Policy(BatchLimits(4, 8192), BATCHING_PAYS)


@asynccontextmanager
async def running(
    backend: ScriptedBackend,
    *,
    clock: ManualClock | None = None,
    workers: int = 1,
    dedupe: bool = True,
    metrics: Metrics | None = None,
) -> AsyncIterator[Batcher]:
    model = loaded(backend)
    metrics = metrics or Metrics(version="test")
    made = Batcher(
        model.score,
        POLICY,
        workers=workers,
        dedupe=dedupe,
        clock=clock or ManualClock(),
        metrics=ModelMetrics(
            metrics, "fake", model.digest, objective="baseline", precision="fp32", calibrated=False, temperature=1.0
        ),
    )
    try:
        yield made
    finally:
        backend.gate.set()
        await made.aclose(timeout_s=10)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await story()

    asyncio.run(bounded())


async def entered(backend: ScriptedBackend) -> None:
    """Wait until the engine holds a batch."""
    await asyncio.to_thread(backend.entered.acquire)


def _wait(event: threading.Event) -> None:
    assert event.wait(30)


def value(outcome: Outcome) -> float:
    assert isinstance(outcome, Reward)
    return outcome.value


def test_every_item_gets_its_own_reward_in_order() -> None:
    """I1, I5: each future has the reward of its own item, whatever ran with it."""

    async def story() -> None:
        async with running(ScriptedBackend()) as made:
            futures = [made.submit(encoding(*range(1, n + 1)), deadline=FAR) for n in (5, 1, 9, 2, 5, 3)]
            values = [value(await future) for future in futures]
        assert values == [15, 1, 45, 3, 15, 6]

    run(story)


def test_a_leaving_client_never_hangs_its_batch_mates() -> None:
    """MLServer's case: four in one batch, the second is cancelled while it runs; the others answer."""

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.gate.clear()
            first = made.submit(encoding(9), deadline=FAR)
            await entered(backend)
            mates = [made.submit(encoding(n), deadline=FAR) for n in (1, 2, 3, 4)]
            held = threading.Event()
            backend.on_run = lambda batch: None if len(batch.input_ids_BT) == 1 else _wait(held)
            backend.gate.set()
            await first
            await entered(backend)
            assert len(backend.batches[-1]) == 4
            mates[1].cancel()
            held.set()
            assert [value(await mates[i]) for i in (0, 2, 3)] == [1, 3, 4]
            assert mates[1].cancelled()
            assert value(await made.submit(encoding(7), deadline=FAR)) == 7

    run(story)


def test_cancelled_and_expired_items_never_reach_the_engine() -> None:
    """I4, A4: what nobody waits for, and what is too late, is not run."""

    async def story() -> None:
        backend, clock = ScriptedBackend(), ManualClock(1000.0)
        async with running(backend, clock=clock) as made:
            backend.gate.clear()
            first = made.submit(encoding(9), deadline=FAR)
            await entered(backend)
            left = made.submit(encoding(1), deadline=FAR)
            late = made.submit(encoding(2), deadline=1000.5)
            kept = made.submit(encoding(3), deadline=FAR)
            left.cancel()
            clock.now = 1001.0
            backend.gate.set()
            assert value(await first) == 9
            assert value(await kept) == 3
            assert isinstance(await late, DeadlineExceeded)
        assert backend.executed == [(9,), (3,)]

    run(story)


def test_a_poison_item_fails_alone() -> None:
    """A failing batch is run again item by item: only the item that fails has an error."""

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.gate.clear()
            hold = made.submit(encoding(9), deadline=FAR)
            await entered(backend)
            futures = [made.submit(encoding(n), deadline=FAR) for n in (1, POISON, 3)]
            backend.gate.set()
            await hold
            outcomes = [await future for future in futures]
        assert [value(outcomes[0]), value(outcomes[2])] == [1, 3]
        assert isinstance(outcomes[1], InferenceFailed)

    run(story)


def test_nan_is_an_error_of_its_own_item() -> None:
    """A NaN never becomes a reward, and its neighbors keep theirs."""

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.gate.clear()
            hold = made.submit(encoding(9), deadline=FAR)
            await entered(backend)
            futures = [made.submit(encoding(n), deadline=FAR) for n in (1, NAN, 3)]
            backend.gate.set()
            await hold
            outcomes = [await future for future in futures]
        assert [value(outcomes[0]), value(outcomes[2])] == [1, 3]
        assert isinstance(outcomes[1], NonFiniteReward)

    run(story)


def test_an_unexpected_exception_stays_in_its_batch() -> None:
    """Whatever the engine raises becomes InferenceFailed for these items; the next ones run."""

    def explode(_: object) -> None:
        raise MemoryError("no more")

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.on_run = explode
            assert isinstance(await made.submit(encoding(1), deadline=FAR), InferenceFailed)
            backend.on_run = lambda batch: None
            assert value(await made.submit(encoding(2), deadline=FAR)) == 2

    run(story)


def test_the_loop_survives_its_own_bugs(monkeypatch: pytest.MonkeyPatch) -> None:
    """I6: an exception in planning fails the queued items, is counted, and scoring goes on."""

    async def story() -> None:
        backend, metrics = ScriptedBackend(), Metrics(version="test")
        async with running(backend, metrics=metrics) as made:
            with monkeypatch.context() as broken:
                broken.setattr(PendingQueue, "take", lambda *_: 1 / 0)
                assert isinstance(await made.submit(encoding(1), deadline=FAR), InferenceFailed)
            assert value(await made.submit(encoding(2), deadline=FAR)) == 2
            assert metrics.worker_restarts.labels("fake")._value.get() == 1

    run(story)


def test_closing_finishes_the_queue() -> None:
    """I8: closing runs what is queued; later submissions are told that the version is going."""

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.gate.clear()
            futures = [made.submit(encoding(n), deadline=FAR) for n in range(1, 10)]
            closing = asyncio.create_task(made.aclose(timeout_s=20))
            await entered(backend)
            assert isinstance(await made.submit(encoding(1), deadline=FAR), Draining)
            backend.gate.set()
            await closing
            assert [value(future.result()) for future in futures] == list(range(1, 10))

    run(story)


def test_closing_with_no_time_answers_everybody() -> None:
    """I8: with a stuck engine every future is resolved with Draining; nobody hangs."""

    async def story() -> None:
        backend = ScriptedBackend()
        async with running(backend) as made:
            backend.gate.clear()
            futures = [made.submit(encoding(n), deadline=FAR) for n in range(1, 8)]
            await entered(backend)
            await made.aclose(timeout_s=0.0)
            assert all(isinstance(future.result(), Draining) for future in futures)
            backend.gate.set()

    run(story)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from(["ok", "cancel", "late", "poison", "nan"])),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 3),
)
def test_exactly_one_outcome_each(items: list[tuple[int, str]], workers: int) -> None:
    """I1-I6 together: any mix of fates, any workers: every future settles once, with its own outcome."""
    extra = {"poison": (POISON,), "nan": (NAN,)}

    async def story() -> None:
        backend, clock = ScriptedBackend(), ManualClock(1000.0)
        async with running(backend, clock=clock, workers=workers) as made:
            futures = []
            for length, fate in items:
                ids = (*range(1, length + 1), *extra.get(fate, ()))
                futures.append(made.submit(encoding(*ids), deadline=999.0 if fate == "late" else FAR))
                if fate == "cancel":
                    futures[-1].cancel()
            await asyncio.wait(futures)
        kinds: dict[str, type] = {"late": DeadlineExceeded, "poison": InferenceFailed, "nan": NonFiniteReward}
        for (length, fate), future in zip(items, futures, strict=True):
            if fate == "cancel":
                assert future.cancelled()
            elif fate == "ok":
                assert value(future.result()) == length * (length + 1) / 2
            else:
                assert isinstance(future.result(), kinds[fate])

    run(story)


def held(
    story: Callable[[ScriptedBackend, Batcher], Awaitable[None]],
    *,
    dedupe: bool = True,
    metrics: Metrics | None = None,
) -> None:
    """A story in which the engine is busy with something else, so that what is submitted waits in the queue."""

    async def whole() -> None:
        backend = ScriptedBackend()
        async with running(backend, dedupe=dedupe, metrics=metrics) as made:
            backend.gate.clear()
            made.submit(encoding(9), deadline=FAR)
            await entered(backend)
            await story(backend, made)

    run(whole)


def test_the_same_item_in_flight_is_computed_once() -> None:
    """Three ask for the same tokens, one leaves: the row runs once and both others have its reward."""
    metrics = Metrics(version="test")

    async def story(backend: ScriptedBackend, made: Batcher) -> None:
        same = [made.submit(encoding(1, 2), deadline=FAR) for _ in range(3)]
        other = made.submit(encoding(2, 1), deadline=FAR)
        running_too = made.submit(encoding(9), deadline=FAR)
        same[0].cancel()
        backend.gate.set()
        assert [value(await future) for future in (same[1], same[2], other, running_too)] == [3, 3, 3, 9]
        assert sorted(backend.executed) == [(1, 2), (2, 1), (9,)]
        assert metrics.deduplicated.labels("fake")._value.get() == 3
        assert value(await made.submit(encoding(1, 2), deadline=FAR)) == 3
        assert backend.executed.count((1, 2)) == 2, "what is done is not remembered"

    held(story, metrics=metrics)


def test_a_twin_lives_as_long_as_its_last_waiter() -> None:
    """A shared row keeps the latest deadline, and is dropped only when all have left."""

    async def story(backend: ScriptedBackend, made: Batcher) -> None:
        made.submit(encoding(1), deadline=1000.5)
        longer = made.submit(encoding(1), deadline=FAR)
        gone = [made.submit(encoding(2), deadline=FAR) for _ in range(2)]
        for future in gone:
            future.cancel()
        backend.gate.set()
        assert value(await longer) == 1
        await made.aclose(timeout_s=10)
        assert (2,) not in backend.executed

    held(story)


def test_without_dedupe_each_runs() -> None:
    """The ablation switch."""

    async def story(backend: ScriptedBackend, made: Batcher) -> None:
        same = [made.submit(encoding(1), deadline=FAR) for _ in range(2)]
        backend.gate.set()
        assert [value(await future) for future in same] == [1, 1]
        assert backend.executed.count((1,)) == 2

    held(story, dedupe=False)


def test_the_predicted_wait_follows_the_queue() -> None:
    """Seconds by the cost model, for what waits and what would come; nothing once all is done."""

    async def story(backend: ScriptedBackend, made: Batcher) -> None:
        assert made.wait_s() == 0
        futures = [made.submit(encoding(n), deadline=FAR) for n in range(1, 5)]
        alone = BATCHING_PAYS.seconds(1, 1)
        assert made.wait_s() == pytest.approx(4 * alone)
        assert made.wait_s([encoding(1), encoding(2)]) == pytest.approx(6 * alone)
        backend.gate.set()
        await asyncio.wait(futures)
        assert made.wait_s() == 0

    held(story)
