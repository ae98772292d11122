"""Decides which items share an engine call, from lengths, deadlines and the cost model. No asyncio, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from service.domain import Scheduler
from service.engine.cost import CostModel

_WINDOW = 4
"""Neighbors looked at on either side of the urgent item, in largest useful batches: further ones change
nothing near it, and a bounded window keeps planning O(1) in the queue."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of one engine call."""

    max_items: int
    max_tokens: int
    """Padded: items times the longest. A single item may exceed it, else it could never run."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, predicted times and how to use them."""

    limits: BatchLimits
    cost: CostModel
    scheduler: Scheduler = "profile"
    """`fifo`: the oldest items, as many as fit, padded, as other servers batch; for comparison."""
    ageing_s: float = 5.0
    """An item counts as urgent as one whose deadline is this long after its arrival: no stream of tighter
    deadlines can hold it back for longer."""

    @property
    def largest(self) -> int:
        """The largest batch that is ever planned."""
        return min(self.limits.max_items, self.cost.max_useful_batch)


def partition(lengths: Sequence[int], policy: Policy) -> list[int]:
    """Split ascending lengths into contiguous batches so that the sum of predicted times is least.

    Dynamic programming, exact: best[i] = min over b of best[i - b] + c(b, lengths[i - 1]). Contiguous batches of the
    sorted items lose nothing: swapping two items between batches never shortens either's longest.

    Args:
        lengths: tokens, ascending.

    Returns:
        The end of each batch, ascending; the last is len(lengths).
    """
    most = policy.largest
    best = np.full(most + len(lengths), np.inf)  # best[most + i - 1] is for the first i items
    best[most - 1] = 0.0
    back = [0]
    for end, longest in enumerate(lengths):
        allowed = max(1, min(most, policy.limits.max_tokens // longest)) if longest else most
        totals = best[end + most - allowed : end + most] + policy.cost.costs_by_batch_desc(longest)[-allowed:]
        choice = int(totals.argmin())
        best[end + most] = totals[choice]
        back.append(allowed - choice)
    ends = []
    end = len(lengths)
    while end:
        ends.append(end)
        end -= back[end]
    return ends[::-1]


def plan_around(lengths: Sequence[int], urgent: int, policy: Policy) -> list[range]:
    """The batches of the best partition of the neighborhood of the item at `urgent`.

    Args:
        lengths: tokens of all queued items, ascending.
        urgent: a place in `lengths`.

    Returns:
        Contiguous, disjoint places in `lengths`; one batch holds `urgent`. Where the neighborhood was cut out of a
        longer queue, its outermost batches are left out, unless `urgent` is in them: a neighbor may belong to them.
    """
    if policy.largest == 1:
        return [range(urgent, urgent + 1)]
    reach = _WINDOW * policy.largest
    low, high = max(0, urgent - reach), min(len(lengths), urgent + reach + 1)
    edges = [0, *partition(lengths[low:high], policy)]
    batches = [range(low + start, low + end) for start, end in pairwise(edges)]
    whole_from, whole_to = (0 if low == 0 else low + 1), (high if high == len(lengths) else high - 1)
    return [b for b in batches if urgent in b or (b.start >= whole_from and b.stop <= whole_to)]


def may_grow(lengths: Sequence[int], policy: Policy) -> bool:
    """Whether one more item could join a batch of these ascending lengths."""
    return len(lengths) < policy.largest and (len(lengths) + 1) * lengths[-1] <= policy.limits.max_tokens


def shrink_to_deadlines(
    lengths: Sequence[int], deadlines: Sequence[float], urgent: int, now: float, policy: Policy
) -> range:
    """Shrink a batch until, by prediction, it ends before the deadlines of all its items; the urgent item stays.

    Args:
        lengths: tokens of the batch's items, ascending.
        deadlines: of the same items; seconds on the clock of `now`.
        urgent: a place in the batch.

    Returns:
        The places that are left, contiguous.
    """
    low, high = 0, len(lengths)
    while high - low > 1 and now + policy.cost.seconds(high - low, lengths[high - 1]) > min(deadlines[low:high]):
        # The longest is dropped first: it costs the most. The urgent one is never dropped.
        if high - 1 > urgent:
            high -= 1
        else:
            low += 1
    return range(low, high)
