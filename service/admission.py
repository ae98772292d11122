"""The gate: a bounded number of items and tokens inside the service, checked before any work is done for them.

Entering is synchronous and O(1): nothing can slip in between the check and the count. Who may block waits outside in
order of arrival, holding no room; whoever comes after them, blocking or not, does not overtake them.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from service.errors import Draining, Overloaded, TooManyItems


class Permit:
    """Room taken by one request; leaving the `with` block gives it back."""

    def __init__(self, gate: "Gate", items: int, tokens: int) -> None:
        self._gate = gate
        self.items = items
        self.tokens = tokens

    def shrink(self, tokens: int) -> None:
        """Give back what the reservation had too much, once the true count is known."""
        if tokens > self.tokens:
            raise ValueError(f"a permit can only shrink: {self.tokens} to {tokens} tokens")
        self._gate.release(0, self.tokens - tokens)
        self.tokens = tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._gate.release(self.items, self.tokens)
        self._gate.served(self.tokens)
        self.items = self.tokens = 0


@dataclass(frozen=True, slots=True)
class _Waiter:
    items: int
    tokens: int
    permit: asyncio.Future[Permit]


class Gate:
    """Counts admitted items and tokens; refuses requests that would exceed the limits or arrive after closing."""

    def __init__(self, *, max_items: int, max_tokens: int, clock: Callable[[], float], max_waiting: int = 1024) -> None:
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._max_waiting = max_waiting
        self._clock = clock
        self._rate = _Rate(clock())
        self._waiting: deque[_Waiter] = deque()
        self._patient: list[asyncio.Future[None]] = []
        self.items = 0
        self.tokens = 0
        self.leaving = False
        """This replica is about to stop: it still works, but asks its clients to connect elsewhere."""
        self.closed = False
        """Nothing more is let in."""

    def enter(self, *, items: int, tokens: int) -> Permit:
        """Take room for a request, or raise.

        Raises:
            TooManyItems: it would not fit even if nothing else were inside.
            Overloaded: it does not fit now.
            Draining: this process is going away.
        """
        if self.closed:
            raise _draining()
        if items > self._max_items or tokens > self._max_tokens:
            raise TooManyItems(
                f"the request needs {items} items and up to {tokens} tokens at once; this service holds "
                f"{self._max_items} items and {self._max_tokens} tokens: split the request"
            )
        if self._waiting or self.items + items > self._max_items:
            raise Overloaded("the queue is full", reason="queue_items", queued_s=self._queued_s())
        if self.tokens + tokens > self._max_tokens:
            raise Overloaded("the queue is full", reason="queue_tokens", queued_s=self._queued_s())
        return self._take(items, tokens)

    async def enter_when_free(self, *, items: int, tokens: int, deadline: float) -> Permit:
        """As `enter`, but wait for room until the deadline (on the gate's clock).

        Raises:
            Overloaded: no room until the deadline, or too many wait already.
        """
        try:
            return self.enter(items=items, tokens=tokens)
        except Overloaded:
            if len(self._waiting) >= self._max_waiting:
                raise
        waiter = _Waiter(items, tokens, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                return await waiter.permit
        except BaseException as left:
            self._stop_waiting(waiter)
            if not isinstance(left, TimeoutError):
                raise
            raise Overloaded(
                "no room until the request's deadline", reason="blocked", queued_s=self._queued_s()
            ) from None

    @property
    def waiting(self) -> int:
        """How many requests wait for room."""
        return len(self._waiting)

    @property
    def load(self) -> float:
        """Share of the room that is taken; 1 while requests wait outside."""
        if self._waiting:
            return 1.0
        return max(self.items / self._max_items, self.tokens / self._max_tokens)

    async def below(self, load: float) -> None:
        """Wait until less than this share is taken: for work that has no caller. Takes no room."""
        while self.load >= load:
            patient: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._patient.append(patient)
            await patient

    def close(self) -> None:
        """Refuse all further requests, the waiting ones included."""
        self.closed = True
        for waiter in self._waiting:
            if not waiter.permit.done():
                waiter.permit.set_exception(_draining())
        self._waiting.clear()

    def release(self, items: int, tokens: int) -> None:
        """Return the room of an admitted request and admit waiting requests that now fit."""
        self.items -= items
        self.tokens -= tokens
        self._admit()
        for patient in self._patient:
            if not patient.done():
                patient.set_result(None)
        self._patient.clear()

    def _take(self, items: int, tokens: int) -> Permit:
        self.items += items
        self.tokens += tokens
        return Permit(self, items, tokens)

    def _admit(self) -> None:
        """Let in from the front, as many as fit: a small request never overtakes a large one."""
        while self._waiting and not self.closed:
            first = self._waiting[0]
            if self.items + first.items > self._max_items or self.tokens + first.tokens > self._max_tokens:
                return
            self._waiting.popleft()
            if not first.permit.done():
                first.permit.set_result(self._take(first.items, first.tokens))

    def _stop_waiting(self, waiter: _Waiter) -> None:
        """Stop waiting, or return room that was granted at that moment, and admit the next request that fits."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            self._admit()
        elif waiter.permit.done() and not waiter.permit.cancelled() and not waiter.permit.exception():
            self.release(waiter.items, waiter.tokens)

    def served(self, tokens: int) -> None:
        """Note finished work: it sets the measured rate."""
        self._rate.add(tokens, self._clock())

    def _queued_s(self) -> float:
        """Estimate the seconds until all admitted items are done, at the measured rate; 0 while there is none."""
        per_second = self._rate.per_second(self._clock())
        return self.tokens / per_second if per_second > 0 else 0.0


def _draining() -> Draining:
    return Draining("this replica is shutting down; send the request to another")


class _Rate:
    """Exponentially weighted tokens per second over about ten seconds."""

    _WINDOW_S = 10.0

    def __init__(self, now: float) -> None:
        self._sum = 0.0
        self._last = now

    def add(self, tokens: int, now: float) -> None:
        self._sum = self._decayed(now) + tokens
        self._last = now

    def per_second(self, now: float) -> float:
        return self._decayed(now) / self._WINDOW_S

    def _decayed(self, now: float) -> float:
        return self._sum * math.exp(-max(0.0, now - self._last) / self._WINDOW_S)
