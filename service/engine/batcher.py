"""The asynchronous part of batching: workers take batches from the queue and run them in threads, one future a waiter.

Each future is resolved on its own, and only if it is not done yet: a client that disconnects, an item that breaks the
engine or a failing batch never affects other items.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from plurality.core.errors import PluralityError
from service.domain import Encoding, Outcome, Reward
from service.engine.backend import Score
from service.engine.policy import Policy
from service.engine.queue import PendingQueue
from service.errors import DeadlineExceeded, Draining, InferenceFailed

_SLOWDOWN_WEIGHT = 0.05
"""Weight of one run in the moving average of measured over predicted time."""


class Engine(Protocol):
    """What scores the items of one version: a `Batcher` in this process, or an engine process (`isolated.py`)."""

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time."""
        ...

    def wait_s(self, encodings: Sequence[Encoding] = ()) -> float:
        """Predicted seconds until these items would be done if queued now."""
        ...

    @property
    def up(self) -> bool:
        """Whether it can score now."""
        ...

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish queued items within `timeout_s`; answer the others Draining; free the engine. Idempotent."""
        ...


class BatchObserver(Protocol):
    """Receives what a batcher does. `telemetry.metrics.ModelMetrics` is one."""

    def queue(self, items: int) -> None: ...
    def taken(self, waits_s: Sequence[float]) -> None: ...
    def dropped(self, *, expired: int, abandoned: int) -> None: ...
    def deduplicated(self) -> None: ...
    def ran(self, seconds: float, lengths: Sequence[int], *, slowdown_factor: float) -> None: ...
    def scored(self, reward: Reward) -> None: ...
    def nonfinite(self) -> None: ...
    def worker_restarted(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Entry:
    """One engine row and the futures of all requests that wait for it."""

    encoding: Encoding
    deadline: float
    """The latest of its waiters' deadlines."""
    enqueued: float
    number: int = -1
    futures: list[asyncio.Future[Outcome]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return len(self.encoding.ids)

    @property
    def abandoned(self) -> bool:
        return all(future.done() for future in self.futures)


class Batcher:
    """Owns the queue of one model version. All methods run on the event loop; engine calls run in threads."""

    def __init__(
        self,
        score: Score,
        policy: Policy,
        *,
        workers: int,
        dedupe: bool = True,
        clock: Callable[[], float],
        metrics: BatchObserver,
    ) -> None:
        self._score = score
        self._policy = policy
        self._dedupe = dedupe
        self._clock = clock
        self._metrics = metrics
        self._queue: PendingQueue[_Entry] = PendingQueue(policy)
        self._in_flight: dict[Encoding, _Entry] = {}
        self._slowdown_factor = 1.0
        self._wake = asyncio.Event()
        self._closing = False
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="engine")
        self._workers = [asyncio.create_task(self._work(), name=f"worker-{i}") for i in range(workers)]

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time.

        The same tokens in flight are computed once: a later request for them waits for the same run.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_result(Draining("this model version is being retired"))
        elif deadline <= (now := self._clock()):
            future.set_result(DeadlineExceeded("the deadline had passed before the item was queued"))
        elif duplicate := self._in_flight.get(encoding) if self._dedupe else None:
            self._join(duplicate, future, deadline)
        else:
            self._enqueue(_Entry(encoding, deadline, now, futures=[future]))
        return future

    def wait_s(self, encodings: Sequence[Encoding] = ()) -> float:
        """Predicted seconds until these items would be done if queued now, corrected by the measured slowdown."""
        own = sum(self._policy.cost.seconds(1, len(encoding.ids)) for encoding in encodings)
        return (self._queue.predicted_s + own) * self._slowdown_factor / len(self._workers)

    @property
    def up(self) -> bool:
        """Whether it can score now."""
        return not self._closing

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish queued items within `timeout_s`; resolve the others with Draining. Idempotent."""
        self._closing = True
        self._wake.set()
        _, unfinished = await asyncio.wait(self._workers, timeout=timeout_s)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        self._resolve_all(self._queue.drain(), Draining("the service stopped before this item ran"))
        self._metrics.queue(0)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _join(self, duplicate: _Entry, future: asyncio.Future[Outcome], deadline: float) -> None:
        duplicate.futures.append(future)
        duplicate.deadline = max(duplicate.deadline, deadline)
        self._queue.raise_priority(duplicate.number, deadline)
        self._metrics.deduplicated()

    def _enqueue(self, entry: _Entry) -> None:
        entry.number = self._queue.add(entry, entry.enqueued)
        if self._dedupe:
            self._in_flight[entry.encoding] = entry
        self._metrics.queue(len(self._queue))
        self._wake.set()

    async def _work(self) -> None:
        """Run `_serve`, and restart it if it raises."""
        while True:
            try:
                await self._serve()
            except Exception:  # noqa: BLE001 - the supervisor: a planning bug must not stop scoring for good
                self._metrics.worker_restarted()
                failure = InferenceFailed("the scheduler failed; the request may be sent again")
                self._resolve_all(self._queue.drain(), failure)
            else:
                return

    async def _serve(self) -> None:
        while True:
            if batch := self._take():
                await self._run(batch)
            elif self._closing:
                return
            else:
                # No await between `_take` and `clear`: an item that is queued from here on sets the event again.
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[_Entry]:
        """Remove the next batch from the queue, and the expired and abandoned items met on the way."""
        if not self._queue:
            return []
        now = self._clock()
        taken = self._queue.take(now)
        for entry in taken.expired:
            self._resolve(entry, DeadlineExceeded("the deadline passed while the item was queued"))
        for entry in taken.abandoned:
            self._resolve(entry, Draining("no request waited for this item any more"))
        self._metrics.dropped(expired=len(taken.expired), abandoned=len(taken.abandoned))
        self._metrics.queue(len(self._queue))
        self._metrics.taken([now - entry.enqueued for entry in taken.run])
        return taken.run

    async def _run(self, batch: list[_Entry]) -> None:
        try:
            outcomes = await self._execute([entry.encoding for entry in batch])
            if len(batch) > 1 and any(isinstance(outcome, InferenceFailed) for outcome in outcomes):
                # One item that breaks the engine must not cost the others their rewards: run each alone.
                outcomes = [(await self._execute([entry.encoding]))[0] for entry in batch]
            for entry, outcome in zip(batch, outcomes, strict=True):
                self._resolve(entry, outcome)
        except BaseException:
            # For a batch that `aclose` cancelled; items that have an outcome keep it.
            self._resolve_all(batch, Draining("the service stopped while this item ran"))
            raise

    async def _execute(self, encodings: Sequence[Encoding]) -> Sequence[Outcome]:
        """Run one batch in a thread; errors become outcomes."""
        started = self._clock()
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._score, encodings)
        except Exception as error:  # noqa: BLE001 - the batch boundary: a failure belongs to these items alone
            failure = error if isinstance(error, PluralityError) else InferenceFailed("the engine failed")
            return [failure for _ in encodings]
        self._note(self._clock() - started, [len(encoding.ids) for encoding in encodings])
        for outcome in outcomes:
            if isinstance(outcome, Reward):
                self._metrics.scored(outcome)
            else:
                self._metrics.nonfinite()
        return outcomes

    def _note(self, seconds: float, lengths: Sequence[int]) -> None:
        """Update how much slower the machine, as busy as it is now, runs than its profile says."""
        predicted = self._policy.cost.seconds(len(lengths), max(lengths))
        if predicted > 0:
            self._slowdown_factor += _SLOWDOWN_WEIGHT * (seconds / predicted - self._slowdown_factor)
        self._metrics.ran(seconds, lengths, slowdown_factor=self._slowdown_factor)

    def _resolve_all(self, entries: Sequence[_Entry], outcome: Outcome) -> None:
        for entry in entries:
            self._resolve(entry, outcome)

    def _resolve(self, entry: _Entry, outcome: Outcome) -> None:
        # It is not there if nothing is deduplicated, or if it was resolved before: then it may be another entry.
        if self._in_flight.get(entry.encoding) is entry:
            del self._in_flight[entry.encoding]
        for future in entry.futures:
            if not future.done():
                future.set_result(outcome)
