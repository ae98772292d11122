"""The queue of one version, sorted by length, with the most urgent item at hand. Pure: no asyncio, no clock.

Every operation is O(log n) comparisons (and one short memory move), so that planning stays a small part of a run
however long the queue is. What is dead is found when it would run, never searched for.
"""

import heapq
from bisect import bisect_left
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from service.batching.policy import Policy, choose, shrink_to_deadlines


class Queued(Protocol):
    """What the queue must know of an item."""

    deadline: float
    """Monotonic seconds."""

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        ...

    @property
    def abandoned(self) -> bool:
        """Nobody waits for it any more."""
        ...


Item = TypeVar("Item", bound=Queued)


@dataclass(slots=True)
class Taken(Generic[Item]):
    """What left the queue: each item is in one of the three."""

    run: list[Item]
    expired: list[Item]
    abandoned: list[Item]


class PendingQueue(Generic[Item]):
    """Items waiting for the engine."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._items: dict[int, Item] = {}
        self._by_length: list[tuple[int, int]] = []
        self._lengths: list[int] = []
        self._by_urgency: list[tuple[float, int]] = []
        self._next = 0
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def predicted_s(self) -> float:
        """Predicted engine time of all that waits, if each ran alone."""
        return max(0.0, self._seconds)

    def add(self, item: Item, now: float) -> int:
        """Queue an item; the number names it until it is taken."""
        number = self._next
        self._next += 1
        self._items[number] = item
        place = bisect_left(self._by_length, (item.tokens, number))
        self._by_length.insert(place, (item.tokens, number))
        self._lengths.insert(place, item.tokens)
        heapq.heappush(self._by_urgency, (min(item.deadline, now + self._policy.ageing_s), number))
        self._seconds += self._policy.cost.seconds(1, item.tokens)
        return number

    def hasten(self, number: int, deadline: float) -> None:
        """Somebody else waits for the same item, until `deadline`: it becomes as urgent as that asks."""
        if number in self._items:
            heapq.heappush(self._by_urgency, (deadline, number))

    def take(self, now: float) -> Taken[Item]:
        """Remove the next batch: the most urgent live item and those that it is cheapest to run with.

        If any live item waits, one runs: no idle waiting. Expired and abandoned items never run.
        """
        taken: Taken[Item] = Taken([], [], [])
        while (urgent := self._most_urgent()) is not None:
            if self._dead(urgent, now, taken):
                continue
            batch = self._batch(urgent, now)
            # Planning again without the dead: the batch was chosen with their lengths.
            if any([self._dead(number, now, taken) for number in batch]):  # noqa: C419 - all of them, not the first
                continue
            taken.run = [self._remove(number) for number in batch]
            break
        return taken

    def drain(self) -> list[Item]:
        """Remove everything."""
        left = list(self._items.values())
        self._items.clear()
        self._by_length.clear()
        self._lengths.clear()
        self._by_urgency.clear()
        self._seconds = 0.0
        return left

    def _most_urgent(self) -> int | None:
        """The number of the most urgent item; entries of items that have left are dropped on the way."""
        while self._by_urgency:
            number = self._by_urgency[0][1]
            if number in self._items:
                return number
            heapq.heappop(self._by_urgency)
        return None

    def _dead(self, number: int, now: float, taken: Taken[Item]) -> bool:
        item = self._items[number]
        if item.deadline <= now:
            taken.expired.append(self._remove(number))
        elif item.abandoned:
            taken.abandoned.append(self._remove(number))
        else:
            return False
        return True

    def _batch(self, urgent: int, now: float) -> list[int]:
        if self._policy.scheduler == "fixed":
            return self._oldest()
        place = bisect_left(self._by_length, (self._items[urgent].tokens, urgent))
        batch = choose(self._lengths, place, self._policy)
        deadlines = [self._items[number].deadline for _, number in self._by_length[batch.start : batch.stop]]
        batch = shrink_to_deadlines(batch, place, self._lengths, deadlines, now, self._policy)
        return [number for _, number in self._by_length[batch.start : batch.stop]]

    def _oldest(self) -> list[int]:
        """As peers batch: in order of arrival, up to the limits, whatever the padding."""
        limits = self._policy.limits
        batch: list[int] = []
        longest = 0
        for number, item in self._items.items():
            longest = max(longest, item.tokens)
            if batch and (len(batch) == limits.max_items or (len(batch) + 1) * longest > limits.max_tokens):
                break
            batch.append(number)
        return batch

    def _remove(self, number: int) -> Item:
        item = self._items.pop(number)
        place = bisect_left(self._by_length, (item.tokens, number))
        del self._by_length[place], self._lengths[place]
        self._seconds -= self._policy.cost.seconds(1, item.tokens)
        return item
