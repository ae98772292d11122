"""An engine in a process of its own: found when it hangs or dies, replaced, and its waiting items run again.

Everything that waited runs again in the next process. The texts of a call that a process ended in are suspects: the
next process runs each of them with nothing beside it (`suspects.py`). A text that was there twice, without a reward in
between, is answered `text_quarantined` from then on and reaches the engine no more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain import Encoding, Outcome, Reward
from service.engine.batcher import BatchObserver
from service.engine.frames import Submission
from service.engine.policy import Policy
from service.engine.process import EngineProcess
from service.engine.running_calls import RunningCall, digest_of
from service.errors import DeadlineExceeded, Draining, EngineRestarting, TextQuarantined
from service.telemetry.logs import get_logger

Launch = Callable[[EngineProcess, Sequence[bytes]], Awaitable[None]]
"""Starts a process, which is told the digests of suspects, and brings it to where it can score; raises BundleRejected,
or times out."""
_HUNG_FACTOR = 20.0
"""A call is not taken for hung before it took so many times its predicted seconds, as well as `call_limit_s`."""
_LOOK_S = 0.5
_SHORT_LIFE_S = 60.0
_LONGEST_PAUSE_S = 30.0
_STRIKES = 2
"""A text in so many calls that ended a process is not run again."""
_MOST_SUSPECTS = 4096
_log = get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Item:
    """One submitted item until it has its outcome."""

    number: int
    encoding: Encoding
    deadline: float
    predicted_s: float
    future: asyncio.Future[Outcome]


class IsolatedEngine:
    """The engine of one version: its present process, what waits for it, and how it comes back."""

    def __init__(
        self,
        launch: Launch,
        policy: Policy,
        *,
        workers: int,
        name: str,
        call_limit_s: float,
        clock: Callable[[], float],
        metrics: BatchObserver,
    ) -> None:
        """Args: name: of the version, for the log; call_limit_s: seconds after which a call may be taken for hung."""
        self._launch = launch
        self._policy = policy
        self._engine_workers = workers
        self._name = name
        self._call_limit_s = call_limit_s
        self._clock = clock
        self._metrics = metrics
        self._process: EngineProcess | None = None
        self._items: dict[int, _Item] = {}
        self._unsent: list[_Item] = []
        self._next = 0
        self._queued_s = 0.0
        self._slowdown_factor = 1.0
        self._last_sign = 0.0
        self._serving = False
        self._unavailable = False
        """Whether the last attempt to start a process failed: nothing is queued until one succeeds."""
        self._strikes: dict[bytes, int] = {}
        """How many processes ended while a text was running, by the text's digest; one reward clears it."""
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, process: EngineProcess) -> None:
        """Score with this process, which `launch` has prepared, and supervise it from now on."""
        self._adopt(process)
        self._serving = True
        self._tasks = [
            asyncio.create_task(self._supervise(), name="engine-supervisor"),
            asyncio.create_task(self._watch(), name="engine-watchdog"),
        ]

    @property
    def up(self) -> bool:
        """Whether a process is there that scores."""
        return self._serving

    @property
    def pid(self) -> int | None:
        """The present process's id."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether an engine call runs now."""
        return bool(self._process and self._process.running_calls)

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if refusal := self._refusal(encoding, deadline):
            future.set_result(refusal)
            return future
        item = _Item(self._next, encoding, deadline, self._policy.cost.seconds(1, len(encoding.ids)), future)
        self._next += 1
        self._items[item.number] = item
        self._queued_s += item.predicted_s
        future.add_done_callback(lambda done: self._cancel(item) if done.cancelled() else None)
        if not self._unsent and self._serving:
            asyncio.get_running_loop().call_soon(self._send)
        self._unsent.append(item)
        return future

    def wait_s(self, encodings: Sequence[Encoding] = ()) -> float:
        """Predicted seconds until these items would be done if queued now, corrected by the measured slowdown."""
        own = sum(self._policy.cost.seconds(1, len(encoding.ids)) for encoding in encodings)
        return (max(0.0, self._queued_s) + own) * self._slowdown_factor / self._engine_workers

    async def aclose(self, *, timeout_s: float) -> None:
        """Finish queued items within `timeout_s`; answer the others Draining; end the process. Idempotent."""
        self._closing = True
        if self._items and self._serving and timeout_s > 0:
            await asyncio.wait([item.future for item in self._items.values()], timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._resolve_all(Draining("the service stopped before this item ran"))
        self._serving = False
        self._metrics.queue(0)
        if self._process:
            await self._process.gone()

    def results(self, outcomes: Iterable[tuple[int, Outcome]]) -> None:
        """Answer the items that these are of."""
        self._last_sign = self._clock()
        for number, outcome in outcomes:
            if item := self._forget(number):
                if self._strikes:
                    self._strikes.pop(digest_of(item.encoding), None)
                _set(item.future, outcome)

    def observed(self, events: dict[str, Any]) -> None:
        """Pass the scheduler's events on to the metrics."""
        for seconds, lengths, slowdown_factor in events["ran"]:
            self._slowdown_factor = slowdown_factor
            self._metrics.ran(seconds, lengths, slowdown_factor=slowdown_factor)
        if events["queue"] is not None:
            self._metrics.queue(events["queue"])
        self._metrics.taken(events["waits"])
        self._metrics.dropped(expired=events["expired"], abandoned=events["abandoned"])
        for value, tokens, cut_tokens in events["scored"]:
            self._metrics.scored(Reward(value, tokens, cut_tokens))
        for kind, report in (
            ("deduplicated", self._metrics.deduplicated),
            ("nonfinite", self._metrics.nonfinite),
            ("restarts", self._metrics.worker_restarted),
        ):
            for _ in range(events[kind]):
                report()

    def _refusal(self, encoding: Encoding, deadline: float) -> Outcome | None:
        if self._closing:
            return Draining("this model version is being retired")
        if deadline <= self._clock():
            return DeadlineExceeded("the deadline had passed before the item was queued")
        if self._unavailable:
            return EngineRestarting("the engine of this version ended and does not start; it is tried again")
        return TextQuarantined(_QUARANTINED) if self._is_quarantined(encoding) else None

    def _is_quarantined(self, encoding: Encoding) -> bool:
        return bool(self._strikes) and self._strikes.get(digest_of(encoding), 0) >= _STRIKES

    def _cancel(self, item: _Item) -> None:
        if self._forget(item.number) and self._process and self._serving:
            self._process.cancel([item.number])

    def _forget(self, number: int) -> _Item | None:
        item = self._items.pop(number, None)
        if item:
            self._queued_s -= item.predicted_s
        return item

    def _send(self) -> None:
        """Send what was submitted since the last time, unless the process is being replaced."""
        if self._serving and self._process:
            if len(self._items) == len(self._unsent):
                self._last_sign = self._clock()  # it was idle: its silence counts from now
            items, self._unsent = self._unsent, []
            self._process.submit([_submission(item) for item in items if not item.future.done()])

    def _adopt(self, process: EngineProcess) -> None:
        process.listen(self)
        self._process = process
        self._last_sign = self._clock()

    async def _watch(self) -> None:
        """End the process when a call outlives its limit, or when it says nothing though items wait."""
        while True:
            await asyncio.sleep(_LOOK_S)
            process = self._process
            if process and not process.ended.done() and self._hangs(process):
                _log.error("engine_hangs", version=self._name, pid=process.pid)
                process.kill()

    def _hangs(self, process: EngineProcess) -> bool:
        calls = process.running_calls
        silent_s = self._clock() - self._last_sign
        idle = calls or len(self._items) == len(self._unsent)
        return bool(self._hung(calls)) or (not idle and silent_s > self._call_limit_s + self.wait_s())

    def _hung(self, calls: Iterable[RunningCall]) -> list[RunningCall]:
        now, factor = self._clock(), _HUNG_FACTOR * self._slowdown_factor
        return [call for call in calls if now - call.began > max(self._call_limit_s, factor * call.predicted_s)]

    async def _supervise(self) -> None:
        """Replace each process that ends."""
        short_lives = 0
        while self._process:
            began = self._clock()
            await self._process.ended
            short_lives = short_lives + 1 if self._clock() - began < _SHORT_LIFE_S else 0
            self._serving = False
            status = await self._process.gone()
            _log.error("engine_ended", version=self._name, pid=self._process.pid, status=status)
            self._strike(self._suspects(self._process))
            await self._start_again(short_lives)
            self._release()

    async def _start_again(self, short_lives: int) -> None:
        """Start processes until one can score, at growing intervals."""
        while True:
            if pause_s := min(_LONGEST_PAUSE_S, 2.0 ** max(0, short_lives - 1) - 1):
                await asyncio.sleep(pause_s)
            self._metrics.worker_restarted()
            process = EngineProcess(self._policy.limits.max_items)
            try:
                await self._launch(process, list(self._strikes))
            except Exception as error:  # noqa: BLE001 - the supervisor: whatever a start fails with, it is tried again
                await process.gone()
                short_lives += 1
                _log.error("engine_start_failed", version=self._name, error=repr(error), failures=short_lives)
                self._unavailable = True
                self._resolve_all(EngineRestarting("the engine of this version ended and could not be started again"))
            except BaseException:
                process.kill()
                raise
            else:
                self._unavailable = False
                self._adopt(process)
                _log.info("engine_restarted", version=self._name, pid=process.pid)
                return

    def _suspects(self, process: EngineProcess) -> set[bytes]:
        """The texts that ran when the process ended: those of the hung calls where one hung, else of all."""
        calls = process.running_calls
        return {digest for call in self._hung(calls) or calls for digest in call.digests}

    def _strike(self, suspects: Iterable[bytes]) -> None:
        """Count these texts as running when a process ended."""
        for digest in suspects:
            count = self._strikes[digest] = self._strikes.pop(digest, 0) + 1
            if count == _STRIKES:
                _log.error("text_quarantined", version=self._name, sha256=digest.hex())
        while len(self._strikes) > _MOST_SUSPECTS:
            del self._strikes[next(iter(self._strikes))]

    def _release(self) -> None:
        """Send everything that waits to the new process."""
        for item in list(self._items.values()):
            if self._is_quarantined(item.encoding):
                self._forget(item.number)
                _set(item.future, TextQuarantined(_QUARANTINED))
        self._unsent = list(self._items.values())
        self._serving = True
        self._send()

    def _resolve_all(self, outcome: Outcome) -> None:
        items, self._items, self._unsent = self._items, {}, []
        self._queued_s = 0.0
        for item in items.values():
            _set(item.future, outcome)


_QUARANTINED = (
    "this text ended the engine's process twice, the second time alone; it is not run again until the service restarts"
)


def _submission(item: _Item) -> Submission:
    return Submission(item.number, item.encoding, item.deadline)


def _set(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
