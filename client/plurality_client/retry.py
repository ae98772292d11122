"""When to ask again, and how long to wait first. Pure.

Asking again is safe: scoring is idempotent. It changes nothing on the server, and a version gives a text one reward.
"""

import math
from datetime import UTC
from email.utils import parsedate_to_datetime

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
SPREAD = 0.25
"""Clients that were told the same Retry-After come back spread over this share of it, never earlier than told."""
_TRANSIENT = frozenset({408, 429, 502, 503, 504})
_ATTEMPTS_AT_500 = 3
"""A 500 may be a moment's failure of one batch; a defect answers the same for ever."""


def may_retry(status: int, attempt: int) -> bool:
    """Whether to ask again after the `attempt`-th try (from 1) ended in this status."""
    return status in _TRANSIENT or (status == 500 and attempt < _ATTEMPTS_AT_500)


def retry_after_s(value: str | None, *, now: float) -> float | None:
    """Seconds that a Retry-After header asks for; None if there is none or it says nothing readable.

    Args:
        value: whole seconds, or an HTTP date.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= 9 else None
    try:
        moment = parsedate_to_datetime(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)  # a date of "-0000" comes without a zone
        return max(0.0, aware.timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def delay_s(attempt: int, advice_s: float | None, jitter: float) -> float:
    """How long to wait after the `attempt`-th try (from 1).

    Args:
        advice_s: the server's Retry-After, which is a floor.
        jitter: uniform in [0, 1).

    Returns:
        With advice a, in [a, 1.25 a) and never below the plain backoff's smallest first step; without, between half and
        all of a step that doubles up to LONGEST_DELAY_S.
    """
    if advice_s is not None:
        return max(advice_s * (1 + SPREAD * jitter), FIRST_DELAY_S / 2)
    step = min(LONGEST_DELAY_S, math.ldexp(FIRST_DELAY_S, min(attempt - 1, 20)))
    return step * (0.5 + 0.5 * jitter)
