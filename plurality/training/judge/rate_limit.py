"""Rate limit, backoff and Retry-After of requests to a judge. Time and chance are handed in, for tests.

Asking again is safe: nothing changes at the endpoint; at worst an answer is paid for twice.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 60.0
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Timing:
    """What the judge knows of time. Seconds throughout."""

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    """Since the epoch: to read an HTTP date, and to say when an answer was heard."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    """Uniform in [0, 1)."""


class RateLimiter:
    """Limits requests to a number a minute, evenly spread, first come first served; none during a pause."""

    def __init__(self, per_minute: float | None, timing: Timing) -> None:
        self._gap_s = 60.0 / per_minute if per_minute else 0.0
        self._timing = timing
        self._next = self._paused_until = -math.inf
        self._door = asyncio.Lock()

    async def acquire(self) -> None:
        """Wait until the next request may be sent."""
        async with self._door:
            while (wait_s := max(self._next, self._paused_until) - self._timing.clock()) > 0:
                await self._timing.sleep(wait_s)
            self._next = self._timing.clock() + self._gap_s

    def pause(self, seconds: float) -> None:
        """Send no request for this long: an endpoint that asks for a pause means all requests."""
        self._paused_until = max(self._paused_until, self._timing.clock() + seconds)


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _TRANSIENT


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Seconds that a Retry-After header asks for; None if there is none or it says nothing readable.

    Args:
        value: seconds (some providers send fractions), or an HTTP date.
        now: seconds since the epoch.
    """
    text = (value or "").strip()
    whole, _, fraction = text.partition(".")
    if text.isascii() and whole.isdigit() and (not fraction or fraction.isdigit()):
        return float(text) if len(whole) <= _DIGITS else None
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # a date of "-0000" comes without a zone
        return max(0.0, aware.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def backoff_s(attempt: int, chance: float) -> float:
    """Between half and all of a step that doubles from FIRST_DELAY_S up to LONGEST_DELAY_S.

    Args:
        attempt: that failed, from 1.
        chance: uniform in [0, 1).
    """
    step = min(LONGEST_DELAY_S, math.ldexp(FIRST_DELAY_S, min(attempt - 1, 20)))
    return step * (0.5 + 0.5 * chance)
