"""The async shell around `policy.plan`: a queue, a few lanes, one future an item.

Each future is settled on its own and only if nobody settled it before: a client that leaves, a poison item or a
failing batch never touches its neighbours.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.batching.policy import BatchLimits, Pending, plan
from service.domain import Encoding, Float32, Outcome
from service.errors import DeadlineExceeded, Draining, InferenceFailed, PluralityError
from service.repository.load import LoadedModel, reward_of
from service.runtime.backend import pad
from service.telemetry.metrics import ModelMetrics


@dataclass(slots=True, eq=False)
class _Entry:
    encoding: Encoding
    deadline: float
    enqueued: float
    future: asyncio.Future[Outcome]


class Batcher:
    """Owns the queue of one model version. All methods run on the event loop; engine calls run in threads."""

    def __init__(
        self,
        model: LoadedModel,
        limits: BatchLimits,
        *,
        lanes: int,
        clock: Callable[[], float],
        metrics: ModelMetrics,
    ) -> None:
        self._model = model
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._pending: list[_Entry] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._executor = ThreadPoolExecutor(lanes, thread_name_prefix="engine")
        self._lanes = [asyncio.create_task(self._lane(), name=f"lane-{i}") for i in range(lanes)]

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_result(Draining("this model version is being retired"))
            return future
        self._pending.append(_Entry(encoding, deadline, self._clock(), future))
        self._metrics.queue(len(self._pending))
        self._wake.set()
        return future

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish what is queued, at most for `timeout_s`; answer the rest with Draining. Idempotent."""
        self._closing = True
        self._wake.set()
        _, unfinished = await asyncio.wait(self._lanes, timeout=timeout_s)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._settle_all(self._pending, Draining("the service stopped before this item ran"))
        self._pending.clear()
        self._metrics.queue(0)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _lane(self) -> None:
        """Supervise `_serve`: whatever breaks, the lane comes back."""
        while True:
            try:
                await self._serve()
            except Exception:  # noqa: BLE001 - the supervisor: a planning bug must not stop scoring for good
                self._metrics.lane_restarted()
                self._settle_all(self._pending, InferenceFailed("the scheduler failed; the request may be sent again"))
                self._pending.clear()
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
        if not self._pending:
            return []
        now = self._clock()
        entries = self._pending
        decision = plan([Pending(len(e.encoding), e.deadline, e.future.done()) for e in entries], now, self._limits)
        self._settle_all(
            [entries[i] for i in decision.expired],
            DeadlineExceeded("the deadline passed while the item was queued"),
        )
        self._metrics.dropped(expired=len(decision.expired), abandoned=len(decision.abandoned))
        gone = {*decision.run, *decision.expired, *decision.abandoned}
        self._pending = [entry for i, entry in enumerate(entries) if i not in gone]
        batch = [entries[i] for i in decision.run]
        self._metrics.queue(len(self._pending))
        self._metrics.taken([now - entry.enqueued for entry in batch])
        return batch

    async def _run(self, batch: list[_Entry]) -> None:
        try:
            outcomes = await self._execute([entry.encoding for entry in batch])
            if len(batch) > 1 and any(isinstance(outcome, InferenceFailed) for outcome in outcomes):
                # One poison item must not cost its neighbours their rewards: run each alone.
                outcomes = [(await self._execute([entry.encoding]))[0] for entry in batch]
            for entry, outcome in zip(batch, outcomes, strict=True):
                _settle(entry, outcome)
        finally:
            self._settle_all(batch, Draining("the service stopped while this item ran"))

    async def _execute(self, encodings: Sequence[Encoding]) -> list[Outcome]:
        """Run one batch in a thread; errors become outcomes."""
        started = self._clock()
        loop = asyncio.get_running_loop()
        try:
            logits = await loop.run_in_executor(self._executor, self._engine_call, encodings)
        except Exception as error:  # noqa: BLE001 - the batch boundary: a failure belongs to these items alone
            failure = error if isinstance(error, PluralityError) else InferenceFailed("the engine failed")
            return [failure for _ in encodings]
        self._metrics.ran(self._clock() - started, [len(encoding) for encoding in encodings])
        return [self._outcome(float(logit), e) for logit, e in zip(logits, encodings, strict=True)]

    def _engine_call(self, encodings: Sequence[Encoding]) -> Float32:
        return self._model.backend.run(pad(encodings, self._model.pad_id))

    def _outcome(self, logit: float, encoding: Encoding) -> Outcome:
        try:
            reward = reward_of(logit, encoding, self._model.manifest)
        except PluralityError as error:
            self._metrics.nonfinite()
            return error
        self._metrics.scored(reward)
        return reward

    @staticmethod
    def _settle_all(entries: Sequence[_Entry], outcome: Outcome) -> None:
        for entry in entries:
            _settle(entry, outcome)


def _settle(entry: _Entry, outcome: Outcome) -> None:
    if not entry.future.done():
        entry.future.set_result(outcome)
