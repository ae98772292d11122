"""The gate: a bounded number of items and tokens inside the service, checked before any work is done for them.

Entering is synchronous and O(1): nothing can slip in between the check and the count.
"""

import math
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service.errors import Draining, Overloaded, TooManyItems

MAX_RETRY_AFTER_S = 60


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


class Gate:
    """Counts what is inside; refuses what would exceed the bounds or comes after closing."""

    def __init__(self, *, max_items: int, max_tokens: int, clock: Callable[[], float]) -> None:
        self._max_items = max_items
        self._max_tokens = max_tokens
        self._clock = clock
        self._rate = _Rate(clock())
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
            Overloaded: it does not fit now; `retry_after_s` from the measured rate.
            Draining: this process is going away.
        """
        if self.closed:
            raise Draining("this replica is shutting down; send the request to another")
        if items > self._max_items or tokens > self._max_tokens:
            raise TooManyItems(
                f"the request needs {items} items and up to {tokens} tokens at once; this service holds "
                f"{self._max_items} items and {self._max_tokens} tokens: split the request"
            )
        if self.items + items > self._max_items:
            raise Overloaded("the queue is full", reason="queue_items", retry_after_s=self._retry_after())
        if self.tokens + tokens > self._max_tokens:
            raise Overloaded("the queue is full", reason="queue_tokens", retry_after_s=self._retry_after())
        self.items += items
        self.tokens += tokens
        return Permit(self, items, tokens)

    def release(self, items: int, tokens: int) -> None:
        """Give room back."""
        self.items -= items
        self.tokens -= tokens

    def served(self, tokens: int) -> None:
        """Note finished work: it sets the measured rate."""
        self._rate.add(tokens, self._clock())

    def _retry_after(self) -> int:
        """Seconds until half of what is inside will be done, at the measured rate; in [1, 60]."""
        per_second = self._rate.per_second(self._clock())
        if per_second <= 0:
            return 1
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(self.tokens / 2 / per_second)))


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
