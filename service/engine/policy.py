"""Predicts the seconds of an engine call from measured cells, and decides by them which items share one. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from service.domain import Scheduler

Float64 = NDArray[np.float64]

MIN_GAIN = 0.02
"""A batch must save this share of the time of separate calls: less is noise, and a smaller batch answers sooner."""
_COLUMNS = 512
_WINDOW = 4
"""Neighbors looked at on either side of the urgent item, in largest useful batches: further ones change
nothing near it, and a bounded window keeps planning O(1) in the queue."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured shape: `items` texts of `tokens` tokens each took `seconds`."""

    items: int
    tokens: int
    seconds: float


class CostModel:
    """c(b, L): seconds of an engine call of b texts padded to L tokens. Never falls as b or L grow.

    Linear between measured cells. Beyond the longest measured length time grows as its last slope says. Beyond the
    largest measured batch, and beyond the lengths that a batch size was measured at, a batch costs as much as its
    texts alone: nothing unmeasured looks like a gain.
    """

    def __init__(self, cells: Sequence[Cell], *, max_items: int, max_tokens: int) -> None:
        """Interpolate.

        Args:
            cells: measured shapes; at least one of a single text.
            max_items: largest batch that will be asked for.
            max_tokens: longest text.
        """
        self._step = max(1, math.ceil(max_tokens / _COLUMNS))
        lengths = np.arange(0, max_tokens + self._step, self._step, dtype=np.float64)
        rows = _rows(cells, lengths, max_items)
        rows[2:] *= 1 + MIN_GAIN
        table: Float64 = np.maximum.accumulate(np.maximum.accumulate(rows, axis=1), axis=0)
        self._table: list[list[float]] = table.tolist()
        self.max_useful_batch = _max_useful_batch(table)
        """The largest batch that is faster than its best split at some length: larger ones are never planned."""

        self._by_length = np.ascontiguousarray(table[self.max_useful_batch : 0 : -1].T)

    def seconds(self, items: int, tokens: int) -> float:
        """Predicted time of one call."""
        return self._table[items][self._column(tokens)]

    def costs_by_batch_desc(self, tokens: int) -> Float64:
        """Predicted times of calls of `max_useful_batch`, ..., 2, 1 texts of this length."""
        found: Float64 = self._by_length[self._column(tokens)]
        return found

    def _column(self, tokens: int) -> int:
        return min(-(-tokens // self._step), len(self._by_length) - 1)


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


def _rows(cells: Sequence[Cell], lengths: Float64, max_items: int) -> Float64:
    """Seconds [max_items + 1, lengths]; row 0 is zero."""
    measured = {1: _line([cell for cell in cells if cell.items == 1], lengths)}
    for size in sorted({cell.items for cell in cells if 1 < cell.items <= max_items}):
        of_size = [cell for cell in cells if cell.items == size]
        unmeasured = lengths > max(cell.tokens for cell in of_size)
        line = _line(of_size, lengths)
        measured[size] = np.where(unmeasured, np.maximum(line, size * measured[1]), line)
    rows = np.zeros((max_items + 1, len(lengths)))
    for items in range(1, max_items + 1):
        below = max(size for size in measured if size <= items)
        above = min((size for size in measured if size >= items), default=below)
        if below == above:
            rows[items] = measured[below] * (items / below)
        else:
            share = (items - below) / (above - below)
            rows[items] = (1 - share) * measured[below] + share * measured[above]
    return rows


def _line(cells: Sequence[Cell], lengths: Float64) -> Float64:
    """Seconds by length of one batch size: linear between the cells, the last slope beyond them."""
    ordered = sorted(cells, key=lambda cell: cell.tokens)
    tokens = np.array([cell.tokens for cell in ordered], dtype=float)
    seconds = np.array([cell.seconds for cell in ordered])
    line = np.interp(lengths, tokens, seconds)
    slope = seconds[-1] / tokens[-1]
    if len(ordered) > 1:
        slope = max(0.0, (seconds[-1] - seconds[-2]) / (tokens[-1] - tokens[-2]))
    beyond: Float64 = np.where(lengths > tokens[-1], seconds[-1] + slope * (lengths - tokens[-1]), line)
    return beyond


def _max_useful_batch(rows: Float64) -> int:
    """The largest b with c(b, L) < min over i of c(i, L) + c(b - i, L) for some L."""
    for items in range(len(rows) - 1, 1, -1):
        split = np.min([rows[i] + rows[items - i] for i in range(1, items // 2 + 1)], axis=0)
        if (rows[items] < split).any():
            return items
    return 1
