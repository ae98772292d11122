"""Which pending items run next: a pure function of the queue, the time and the limits. No asyncio, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pending:
    """One queued item, as far as planning cares."""

    tokens: int
    deadline: float
    """Monotonic seconds."""
    abandoned: bool = False
    """Nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one engine call may hold."""

    max_items: int
    max_tokens: int
    """Padded: items times the longest. A single item may exceed it, else it could never run."""
    max_padding: float
    """Largest share of the padded tokens that may be padding, in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Indices into the pending sequence; each item appears in at most one of the three."""

    run: tuple[int, ...]
    expired: tuple[int, ...]
    abandoned: tuple[int, ...]


def plan(pending: Sequence[Pending], now: float, limits: BatchLimits) -> Plan:
    """The next batch: the most urgent live item, and its neighbours in length as long as the limits hold.

    Expired and abandoned items are named, never run. If any live item is pending, one runs: no idle waiting.
    """
    abandoned = tuple(i for i, item in enumerate(pending) if item.abandoned)
    expired = tuple(i for i, item in enumerate(pending) if not item.abandoned and item.deadline <= now)
    live = [i for i, item in enumerate(pending) if not item.abandoned and item.deadline > now]
    if not live:
        return Plan((), expired, abandoned)
    urgent = min(live, key=lambda i: (pending[i].deadline, i))
    by_length = sorted(live, key=lambda i: (pending[i].tokens, i))
    return Plan(_grow(by_length, by_length.index(urgent), pending, limits), expired, abandoned)


def _grow(by_length: Sequence[int], start: int, pending: Sequence[Pending], limits: BatchLimits) -> tuple[int, ...]:
    """Widen the window around `start` towards the neighbour that adds less padding."""
    low = high = start
    total = pending[by_length[start]].tokens
    while high - low + 1 < limits.max_items:
        below = pending[by_length[low - 1]].tokens if low > 0 else None
        above = pending[by_length[high + 1]].tokens if high + 1 < len(by_length) else None
        longest, shortest = pending[by_length[high]].tokens, pending[by_length[low]].tokens
        if below is None and above is None:
            break
        go_up = below is None or (above is not None and above - longest <= shortest - below)
        added = above if go_up else below
        assert added is not None  # noqa: S101 - one of the two is there, and go_up picks that one
        padded = (high - low + 2) * max(longest, added)
        if padded > limits.max_tokens or padded - total - added > limits.max_padding * padded:
            break
        total += added
        low, high = (low, high + 1) if go_up else (low - 1, high)
    return tuple(by_length[low : high + 1])
