"""Which items share an engine call: pure functions of lengths, deadlines and the cost model. No asyncio, no clock."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.batching.cost import CostModel

Scheduler = Literal["profile", "fixed"]
_WINDOW = 4
"""Neighbours looked at on either side of the urgent item, in largest worthwhile batches: further ones change nothing
near it, and a bounded window keeps planning O(1) in the queue."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one engine call may hold."""

    max_items: int
    max_tokens: int
    """Padded: items times the longest. A single item may exceed it, else it could never run."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, predicted times and how to use them."""

    limits: BatchLimits
    cost: CostModel
    scheduler: Scheduler = "profile"
    """`fixed` is what other servers do, for comparison: the oldest items, as many as fit, padded."""
    ageing_s: float = 5.0
    """An item counts as urgent as one whose deadline is this long after its arrival: no stream of tighter
    deadlines can hold it back for longer."""

    @property
    def largest(self) -> int:
        """The largest batch worth planning."""
        return min(self.limits.max_items, self.cost.worthwhile)


def partition(lengths: Sequence[int], policy: Policy) -> list[int]:
    """Split ascending lengths into contiguous batches so that the sum of predicted times is least.

    Dynamic programming, exact, O(n * largest): best[i] = min over b of best[i - b] + c(b, lengths[i - 1]). Contiguous
    batches of the sorted items lose nothing: swapping two items between batches never shortens either's longest.

    Args:
        lengths: tokens, ascending.

    Returns:
        The end of each batch, ascending; the last is len(lengths).
    """
    best = [0.0]
    back = [0]
    for end in range(1, len(lengths) + 1):
        longest = lengths[end - 1]
        choice, least = 1, best[end - 1] + policy.cost.seconds(1, longest)
        for items in range(2, min(end, policy.largest) + 1):
            if items * longest > policy.limits.max_tokens:
                break
            total = best[end - items] + policy.cost.seconds(items, longest)
            if total < least:
                choice, least = items, total
        best.append(least)
        back.append(choice)
    ends = []
    end = len(lengths)
    while end:
        ends.append(end)
        end -= back[end]
    return ends[::-1]


def choose(lengths: Sequence[int], urgent: int, policy: Policy) -> range:
    """The batch that the item at `urgent` belongs to in the best partition of its neighbourhood.

    Args:
        lengths: tokens of all queued items, ascending.
        urgent: a place in `lengths`.

    Returns:
        Places in `lengths`, contiguous, `urgent` among them.
    """
    if policy.largest == 1:
        return range(urgent, urgent + 1)
    reach = _WINDOW * policy.largest
    low, high = max(0, urgent - reach), min(len(lengths), urgent + reach + 1)
    ends = partition(lengths[low:high], policy)
    place = bisect_right(ends, urgent - low)
    start = ends[place - 1] if place else 0
    return range(low + start, low + ends[place])


def shrink_to_deadlines(
    batch: range, urgent: int, lengths: Sequence[int], deadlines: Sequence[float], now: float, policy: Policy
) -> range:
    """Cut a batch until, by prediction, it ends before the deadlines of all in it; the urgent item stays.

    Args:
        batch: places in `lengths`, `urgent` among them.
        deadlines: of the batch's items, in its order; seconds on the clock of `now`.
    """
    low, high = batch.start, batch.stop
    while high - low > 1:
        due = min(deadlines[low - batch.start : high - batch.start])
        if now + policy.cost.seconds(high - low, lengths[high - 1]) <= due:
            break
        # The longest goes first: it costs the most. The urgent one never goes.
        if high - 1 > urgent:
            high -= 1
        else:
            low += 1
    return range(low, high)
