"""The queue of one version, sorted by length, with a heap of urgencies beside it. Pure: no asyncio, no clock.

Every operation is O(log n) comparisons and a short memory move; a planned batch is kept for as long as no later item
could join it. So planning stays a small part of a run however long the queue is. Expired and abandoned items are found
when they would run, never searched for.
"""

import heapq
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.engine.policy import Policy, may_grow, plan_around, shrink_to_deadlines


class Queued(Protocol):
    """The fields of an item that the queue reads."""

    deadline: float
    """Monotonic seconds."""

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether no request waits for it any more."""
        ...


Item = TypeVar("Item", bound=Queued)


@dataclass(slots=True)
class Taken(Generic[Item]):
    """The items that left the queue, each in one of the three lists."""

    run: list[Item]
    expired: list[Item]
    abandoned: list[Item]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A batch of the last plan around its items."""

    numbers: list[int]
    """Ascending in length."""
    until: int | None
    """Valid while the next item to be added has this number; None: no item can join it, it stays valid."""


class PendingQueue(Generic[Item]):
    """Items waiting for the engine."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._items: dict[int, Item] = {}
        # (length, number), ascending; numbers make equal lengths distinct, so that bisection finds the very item.
        self._by_length: list[tuple[int, int]] = []
        # The lengths of `_by_length` alone, in step with it: what the planner reads.
        self._lengths: list[int] = []
        # A heap of (urgency, number) with lazy deletion: an item may have several entries, and they outlive it until
        # `_most_urgent` meets them.
        self._by_urgency: list[tuple[float, int]] = []
        # Every member of a planned batch maps to it, so that losing any of them discards the whole plan.
        self._planned: dict[int, _Planned] = {}
        self._next = 0
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def predicted_s(self) -> float:
        """Predicted engine time of all queued items, if each ran alone."""
        return max(0.0, self._seconds)

    def add(self, item: Item, now: float) -> int:
        """Queue an item; returns the number that identifies it until it is taken."""
        number = self._next
        self._next += 1
        self._items[number] = item
        place = bisect_left(self._by_length, (item.tokens, number))
        self._by_length.insert(place, (item.tokens, number))
        self._lengths.insert(place, item.tokens)
        heapq.heappush(self._by_urgency, (min(item.deadline, now + self._policy.ageing_s), number))
        self._seconds += self._policy.cost.seconds(1, item.tokens)
        return number

    def raise_priority(self, number: int, deadline: float) -> None:
        """Make an item at least as urgent as `deadline`, for another request that waits for it."""
        if number in self._items:
            # The old entry stays in the heap: the more urgent of the two comes out first, the other finds no item.
            heapq.heappush(self._by_urgency, (deadline, number))

    def take(self, now: float) -> Taken[Item]:
        """Remove the next batch: the most urgent live item and those that it is cheapest to run with.

        If any live item waits, one runs: no idle waiting. Expired and abandoned items never run.
        """
        taken: Taken[Item] = Taken([], [], [])
        while (urgent := self._most_urgent()) is not None:
            if self._drop_expired([urgent], now, taken):
                continue
            batch = self._batch(urgent, now)
            if self._drop_expired(batch, now, taken):
                continue  # the batch was planned with the lengths of the dropped items: plan again
            taken.run = self._remove(batch)
            break
        return taken

    def drain(self) -> list[Item]:
        """Remove everything."""
        left = list(self._items.values())
        self._items.clear()
        self._by_length.clear()
        self._lengths.clear()
        self._by_urgency.clear()
        self._planned.clear()
        self._seconds = 0.0
        return left

    def _most_urgent(self) -> int | None:
        """The number of the most urgent item; heap entries of items that have left are dropped on the way."""
        while self._by_urgency:
            number = self._by_urgency[0][1]
            if number in self._items:
                return number
            heapq.heappop(self._by_urgency)
        return None

    def _drop_expired(self, numbers: Sequence[int], now: float, taken: Taken[Item]) -> bool:
        """Remove the expired and abandoned ones of these items; returns whether there were any."""
        dropped = [number for number in numbers if self._items[number].deadline <= now or self._items[number].abandoned]
        for item in self._remove(dropped):
            (taken.expired if item.deadline <= now else taken.abandoned).append(item)
        return bool(dropped)

    def _batch(self, urgent: int, now: float) -> list[int]:
        if self._policy.scheduler == "fifo":
            return self._fifo_batch()
        planned = self._planned.get(urgent)
        # An item that came since the plan was made may belong to this batch, unless the batch cannot grow.
        if planned is None or planned.until not in {None, self._next}:
            self._plan(urgent)
            planned = self._planned[urgent]
        numbers = planned.numbers
        items = [self._items[number] for number in numbers]
        lengths, deadlines = [item.tokens for item in items], [item.deadline for item in items]
        left = shrink_to_deadlines(lengths, deadlines, numbers.index(urgent), now, self._policy)
        return numbers[left.start : left.stop]

    def _plan(self, urgent: int) -> None:
        """Plan around an item, and keep the planned batches of all its neighbors."""
        place = bisect_left(self._by_length, (self._items[urgent].tokens, urgent))
        for batch in plan_around(self._lengths, place, self._policy):
            numbers = [number for _, number in self._by_length[batch.start : batch.stop]]
            self._unplan(numbers)
            grows = may_grow(self._lengths[batch.start : batch.stop], self._policy)
            planned = _Planned(numbers, self._next if grows else None)
            self._planned.update(dict.fromkeys(numbers, planned))

    def _fifo_batch(self) -> list[int]:
        """The oldest items up to the limits, whatever the padding, as other servers batch."""
        limits = self._policy.limits
        batch: list[int] = []
        longest = 0
        for number, item in self._items.items():
            longest = max(longest, item.tokens)
            if batch and (len(batch) == limits.max_items or (len(batch) + 1) * longest > limits.max_tokens):
                break
            batch.append(number)
        return batch

    def _remove(self, numbers: Sequence[int]) -> list[Item]:
        """Remove items from every index but the heap; a planned batch that loses one is planned again."""
        items = [self._items.pop(number) for number in numbers]
        for item in items:
            self._seconds -= self._policy.cost.seconds(1, item.tokens)
        self._unplan(numbers)
        self._forget_lengths(numbers, items)
        return items

    def _unplan(self, numbers: Sequence[int]) -> None:
        """Forget every planned batch that holds one of these."""
        for number in numbers:
            if planned := self._planned.get(number):
                for mate in planned.numbers:
                    self._planned.pop(mate, None)

    def _forget_lengths(self, numbers: Sequence[int], items: Sequence[Item]) -> None:
        if not numbers:
            return
        start = bisect_left(self._by_length, (items[0].tokens, numbers[0]))
        stop = start + len(numbers)
        if [number for _, number in self._by_length[start:stop]] == list(numbers):
            # Neighbors, as a batch usually is: one move of memory instead of one an item.
            del self._by_length[start:stop], self._lengths[start:stop]
            return
        for number, item in zip(numbers, items, strict=True):
            place = bisect_left(self._by_length, (item.tokens, number))
            del self._by_length[place], self._lengths[place]
