"""The async shell around the queue: a few lanes that take batches and run them, one future a waiter.

Each future is settled on its own and only if nobody settled it before: a client that leaves, a poison item or a
failing batch never touches its neighbors.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from plurality.core.errors import PluralityError
from service.domain import Encoding, Outcome, Reward
from service.engine.policy import Policy
from service.engine.queue import PendingQueue
from service.errors import DeadlineExceeded, Draining, InferenceFailed
from service.telemetry.metrics import ModelMetrics

_PACE_WEIGHT = 0.05
"""Of one run in the moving average of measured over predicted time."""
Score = Callable[[Sequence[Encoding]], Sequence[Outcome]]
"""One engine call: an outcome a row, or an exception for all of them. Runs in a thread."""


@dataclass(slots=True, eq=False)
class _Entry:
    """One engine row and everybody who waits for it."""

    encoding: Encoding
    deadline: float
    """The latest of its waiters' deadlines."""
    enqueued: float
    number: int = -1
    futures: list[asyncio.Future[Outcome]] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return len(self.encoding)

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
        lanes: int,
        dedupe: bool = True,
        clock: Callable[[], float],
        metrics: ModelMetrics,
    ) -> None:
        self._score = score
        self._policy = policy
        self._dedupe = dedupe
        self._clock = clock
        self._metrics = metrics
        self._queue: PendingQueue[_Entry] = PendingQueue(policy)
        self._in_flight: dict[Encoding, _Entry] = {}
        self._pace = 1.0
        self._wake = asyncio.Event()
        self._closing = False
        self._executor = ThreadPoolExecutor(lanes, thread_name_prefix="engine")
        self._lanes = [asyncio.create_task(self._lane(), name=f"lane-{i}") for i in range(lanes)]

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time.

        The same tokens in flight are computed once: whoever asks for them again waits for the same run.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_result(Draining("this model version is being retired"))
        elif deadline <= (now := self._clock()):
            future.set_result(DeadlineExceeded("the deadline had passed before the item was queued"))
        elif twin := self._in_flight.get(encoding) if self._dedupe else None:
            self._join(twin, future, deadline)
        else:
            self._enqueue(_Entry(encoding, deadline, now, futures=[future]))
        return future

    def wait_s(self, encodings: Sequence[Encoding] = ()) -> float:
        """Predicted seconds until these would be done if they were queued now, at the pace measured lately."""
        own = sum(self._policy.cost.seconds(1, len(encoding)) for encoding in encodings)
        return (self._queue.predicted_s + own) * self._pace / len(self._lanes)

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish what is queued, at most for `timeout_s`; answer the rest with Draining. Idempotent."""
        self._closing = True
        self._wake.set()
        _, unfinished = await asyncio.wait(self._lanes, timeout=timeout_s)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._settle_all(self._queue.drain(), Draining("the service stopped before this item ran"))
        self._metrics.queue(0)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _join(self, twin: _Entry, future: asyncio.Future[Outcome], deadline: float) -> None:
        twin.futures.append(future)
        twin.deadline = max(twin.deadline, deadline)
        self._queue.hasten(twin.number, deadline)
        self._metrics.deduplicated()

    def _enqueue(self, entry: _Entry) -> None:
        entry.number = self._queue.add(entry, entry.enqueued)
        if self._dedupe:
            self._in_flight[entry.encoding] = entry
        self._metrics.queue(len(self._queue))
        self._wake.set()

    async def _lane(self) -> None:
        """Supervise `_serve`: whatever breaks, the lane comes back."""
        while True:
            try:
                await self._serve()
            except Exception:  # noqa: BLE001 - the supervisor: a planning bug must not stop scoring for good
                self._metrics.lane_restarted()
                failure = InferenceFailed("the scheduler failed; the request may be sent again")
                self._settle_all(self._queue.drain(), failure)
            else:
                return

    async def _serve(self) -> None:
        while True:
            if batch := self._take():
                await self._run(batch)
            elif self._closing:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> list[_Entry]:
        """Remove the next batch from the queue, and whatever must never run."""
        if not self._queue:
            return []
        now = self._clock()
        taken = self._queue.take(now)
        self._settle_all(taken.expired, DeadlineExceeded("the deadline passed while the item was queued"))
        self._settle_all(taken.abandoned, Draining("nobody waited for this item"))
        self._metrics.dropped(expired=len(taken.expired), abandoned=len(taken.abandoned))
        self._metrics.queue(len(self._queue))
        self._metrics.taken([now - entry.enqueued for entry in taken.run])
        return taken.run

    async def _run(self, batch: list[_Entry]) -> None:
        try:
            outcomes = await self._execute([entry.encoding for entry in batch])
            if len(batch) > 1 and any(isinstance(outcome, InferenceFailed) for outcome in outcomes):
                # One poison item must not cost its neighbors their rewards: run each alone.
                outcomes = [(await self._execute([entry.encoding]))[0] for entry in batch]
            for entry, outcome in zip(batch, outcomes, strict=True):
                self._settle(entry, outcome)
        finally:
            self._settle_all(batch, Draining("the service stopped while this item ran"))

    async def _execute(self, encodings: Sequence[Encoding]) -> Sequence[Outcome]:
        """Run one batch in a thread; errors become outcomes."""
        started = self._clock()
        loop = asyncio.get_running_loop()
        try:
            outcomes = await loop.run_in_executor(self._executor, self._score, encodings)
        except Exception as error:  # noqa: BLE001 - the batch boundary: a failure belongs to these items alone
            failure = error if isinstance(error, PluralityError) else InferenceFailed("the engine failed")
            return [failure for _ in encodings]
        self._note(self._clock() - started, [len(encoding) for encoding in encodings])
        for outcome in outcomes:
            if isinstance(outcome, Reward):
                self._metrics.scored(outcome)
            else:
                self._metrics.nonfinite()
        return outcomes

    def _note(self, seconds: float, lengths: Sequence[int]) -> None:
        """Learn how far the machine, as busy as it is now, is from the profile."""
        predicted = self._policy.cost.seconds(len(lengths), max(lengths))
        if predicted > 0:
            self._pace += _PACE_WEIGHT * (seconds / predicted - self._pace)
        self._metrics.ran(seconds, lengths, pace=self._pace)

    def _settle_all(self, entries: Sequence[_Entry], outcome: Outcome) -> None:
        for entry in entries:
            self._settle(entry, outcome)

    def _settle(self, entry: _Entry, outcome: Outcome) -> None:
        if self._in_flight.get(entry.encoding) is entry:
            del self._in_flight[entry.encoding]
        for future in entry.futures:
            if not future.done():
                future.set_result(outcome)
