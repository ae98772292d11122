"""When to ask, and when to ask again: with a clock that only sleeping moves."""

import asyncio
import itertools
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.training.judge.rate_limit import (
    FIRST_DELAY_S,
    LONGEST_DELAY_S,
    RateLimiter,
    backoff_s,
    is_transient,
    retry_after_s,
)
from tests.plurality.training.judge.asking import FakeTime

NOW = 1_700_000_000.0
CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**9 - 1))
def test_retry_after_in_seconds(seconds: int) -> None:
    """Seconds, with spaces around them or a fraction."""
    assert retry_after_s(f" {seconds} ", now=NOW) == seconds
    assert retry_after_s(f"{seconds}.25", now=NOW) == seconds + 0.25


@given(st.integers(-(10**8), 10**8))
def test_retry_after_as_a_date(ahead: int) -> None:
    """An HTTP date is the time until then, and never negative."""
    value = formatdate(NOW + ahead, usegmt=True)
    assert retry_after_s(value, now=NOW) == max(0, ahead)
    assert retry_after_s(value.replace("GMT", "-0000"), now=NOW) == max(0, ahead)


@given(st.text())
def test_retry_after_never_raises(value: str) -> None:
    """Whatever a proxy writes is seconds of at least 0, or nothing."""
    seconds = retry_after_s(value, now=NOW)
    assert seconds is None or seconds >= 0
    for nothing in (None, "", "-1", "soon", "9" * 12, "²", "1.", ".5", "1.x"):
        assert retry_after_s(nothing, now=NOW) in {None, 1.0}


@given(st.integers(1, 60), CHANCE)
def test_backoff_grows_to_its_limit(attempt: int, chance: float) -> None:
    """Doubling steps, half of each left to chance."""
    step = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (attempt - 1))
    assert step / 2 <= backoff_s(attempt, chance) <= step


def test_what_passes() -> None:
    """Rate limits, overload and server errors; not what is wrong with the request."""
    assert all(is_transient(status) for status in (408, 429, 500, 502, 503, 504, 529))
    assert not any(is_transient(status) for status in (301, 400, 401, 403, 404, 413, 422))


@given(st.floats(1, 600), st.integers(1, 20))
def test_requests_are_spread_over_the_minute(per_minute: float, count: int) -> None:
    """The k-th request goes k gaps after the first, whoever asks."""
    time, went = FakeTime(), []

    async def ask(limiter: RateLimiter) -> None:
        await limiter.acquire()
        went.append(time.now)

    async def all_at_once() -> None:
        limiter = RateLimiter(per_minute, time.timing())
        await asyncio.gather(*(ask(limiter) for _ in range(count)))

    asyncio.run(all_at_once())
    assert went[0] == 1000.0
    for before, after in itertools.pairwise(went):
        assert after - before == pytest.approx(60 / per_minute)


def test_a_rest_holds_for_everybody() -> None:
    """One request's Retry-After stops the others too; a shorter one later does not shorten it."""
    time = FakeTime()

    async def run() -> None:
        limiter = RateLimiter(None, time.timing())
        await limiter.acquire()
        limiter.pause(7.0)
        limiter.pause(2.0)
        await asyncio.gather(limiter.acquire(), limiter.acquire())

    asyncio.run(run())
    assert time.slept == [7.0]
