"""When to ask again, how long to wait, and how a list is cut: properties of the pure parts."""

import itertools
from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from plurality_client.retry import FIRST_DELAY_S, LONGEST_DELAY_S, SPREAD, delay_s, may_retry, retry_after_s
from plurality_client.splitting import split

NOW = 1_700_000_000.0
CHANCE = st.floats(0, 1, exclude_max=True)
SIZES = st.lists(st.integers(0, 50))


@given(st.integers(0, 10**9 - 1))
def test_retry_after_in_seconds(seconds: int) -> None:
    """A whole number is seconds, spaces around it or not."""
    assert retry_after_s(f" {seconds} ", now=NOW) == seconds


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


def test_what_is_no_retry_after() -> None:
    """Negative, fractional and absurd values say nothing."""
    for value in (None, "", "-1", "1.5", "soon", "9" * 12, "²", "Mon, 99 Nov 2026 00:00:00 GMT"):
        assert retry_after_s(value, now=NOW) is None, value


@given(st.integers(1, 10_000), CHANCE)
def test_backoff_is_bounded(attempt: int, jitter: float) -> None:
    """Between half and all of a step that doubles up to the longest."""
    step = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(attempt - 1, 60))
    assert step / 2 <= delay_s(attempt, None, jitter) <= step


@given(st.integers(1, 10_000), st.floats(0, 1e6), CHANCE)
def test_advice_is_a_floor(attempt: int, advice: float, jitter: float) -> None:
    """Never before the server said, at most a quarter later; advice of 0 is no license to hammer."""
    delay = delay_s(attempt, advice, jitter)
    assert max(advice, FIRST_DELAY_S / 2) <= delay <= max(advice * (1 + SPREAD), FIRST_DELAY_S / 2)


@given(st.integers(100, 599), st.integers(1, 100))
def test_only_what_may_pass_is_repeated(status: int, attempt: int) -> None:
    """Transient statuses always, a 500 twice, nothing else; no 4xx but 408 and 429."""
    transient = status in {408, 429, 502, 503, 504}
    assert may_retry(status, attempt) == (transient or (status == 500 and attempt <= 2))


@given(SIZES, st.integers(1, 10), st.integers(1, 100))
def test_split_covers_in_order_within_bounds(sizes: list[int], most: int, largest: int) -> None:
    """Every place once, in order; no slice over a bound but an item that is over it alone; none could join its next."""
    slices = split(sizes, most=most, largest=largest)
    assert [place for one in slices for place in range(len(sizes))[one]] == list(range(len(sizes)))
    parts = [sizes[one] for one in slices]
    assert all(0 < len(part) <= most and (sum(part) <= largest or len(part) == 1) for part in parts)
    for part, following in itertools.pairwise(parts):
        assert len(part) == most or sum(part) + following[0] > largest
