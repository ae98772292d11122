"""The queue: exact properties over simulated time."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain import Scheduler
from service.engine.policy import BatchLimits, Cell, CostModel, Policy
from service.engine.queue import PendingQueue, Taken

NOW = 100.0
AGEING_S = 5.0
exact = settings(max_examples=300)


@dataclass(eq=False)
class Item:
    """A queued item that a test can kill."""

    tokens: int
    deadline: float
    abandoned: bool = False


def policy(*, launch: float = 0.1, largest: int = 4, scheduler: Scheduler = "profile") -> Policy:
    """A call costs `launch` plus a little a token: with a large launch cost batches pay."""
    cells = [Cell(b, n, launch + 1e-4 * b * n) for b in (1, 2, 4, 8) for n in (1, 64, 512)]
    cost = CostModel(cells, max_items=8, max_tokens=512)
    return Policy(BatchLimits(largest, 4096), cost, scheduler, AGEING_S)


items = st.lists(
    st.builds(Item, st.integers(1, 512), st.floats(90.0, 200.0), st.booleans() | st.just(False)), max_size=40
)
policies = st.builds(
    policy,
    launch=st.sampled_from([0.0, 0.01, 1.0]),
    largest=st.integers(1, 8),
    scheduler=st.sampled_from(["profile", "fifo"]),
)


@exact
@given(items, policies)
def test_each_item_goes_one_way(queued: list[Item], how: Policy) -> None:
    """Draining by taking: every item leaves once; dead items never run (I4); if one is alive, one runs."""
    queue: PendingQueue[Item] = PendingQueue(how)
    for item in queued:
        queue.add(item, NOW)
    ran: list[Item] = []
    gone: list[Item] = []
    while len(queue):
        alive = any(not i.abandoned and i.deadline > NOW for i in queued if i not in ran)
        taken = queue.take(NOW)
        assert bool(taken.run) == alive
        assert all(not item.abandoned and item.deadline > NOW for item in taken.run)
        assert all(item.deadline <= NOW for item in taken.expired)
        ran += taken.run
        gone += taken.expired + taken.abandoned
    assert sorted(map(id, ran + gone)) == sorted(map(id, queued))
    assert queue.predicted_s < 1e-9
    assert queue.take(NOW) == Taken([], [], [])


@exact
@given(items, policies)
def test_within_the_limits(queued: list[Item], how: Policy) -> None:
    """Items and padded tokens stay within their limits; a single item always fits."""
    queue: PendingQueue[Item] = PendingQueue(how)
    for item in queued:
        queue.add(item, NOW)
    run = queue.take(NOW).run
    if len(run) > 1:
        assert len(run) <= how.limits.max_items
        assert len(run) * max(item.tokens for item in run) <= how.limits.max_tokens


@exact
@given(
    st.lists(st.tuples(st.sampled_from(["add", "take", "take", "kill", "later"]), st.integers(0, 10**6)), max_size=120),
    policies,
)
def test_any_history(history: list[tuple[str, int]], how: Policy) -> None:
    """Kept plans never bring anything back: whatever comes, dies and runs in between, each item leaves once, alive."""
    queue: PendingQueue[Item] = PendingQueue(how)
    waiting: list[Item] = []
    now = NOW
    for what, draw in history:
        if what == "add":
            waiting.append(Item(1 + draw % 512, now + 0.1 + draw % 7))
            queue.add(waiting[-1], now)
        elif what == "kill" and waiting:
            waiting[draw % len(waiting)].abandoned = True
        elif what == "later":
            now += (draw % 100) / 50
        elif what == "take":
            alive = any(not item.abandoned and item.deadline > now for item in waiting)
            taken = queue.take(now)
            assert bool(taken.run) == alive
            assert all(not item.abandoned and item.deadline > now for item in taken.run)
            longest = max((item.tokens for item in taken.run), default=0)
            assert len(taken.run) <= 1 or len(taken.run) * longest <= how.limits.max_tokens
            for item in taken.run + taken.expired + taken.abandoned:
                waiting.remove(item)
        assert len(queue) == len(waiting)


@exact
@given(
    st.lists(st.tuples(st.integers(1, 512), st.floats(0.1, 300.0), st.floats(0.0, 1.0)), min_size=1, max_size=60),
    st.integers(1, 512),
)
def test_nobody_starves(arrivals: list[tuple[int, float, float]], tokens: int) -> None:
    """An item with a far deadline is overtaken only by what came before it or within `ageing_s` after it.

    A stream of tighter deadlines arrives as fast as the engine works: without ageing it would wait for all of them.
    """
    queue: PendingQueue[Item] = PendingQueue(policy(largest=1))
    now = NOW
    patient = Item(tokens, 1e9)
    queue.add(patient, now)
    for length, slack, gap in arrivals:
        queue.add(Item(length, now + slack), now)
        if patient in queue.take(now).run:
            return
        now += gap
        assert now - gap <= NOW + AGEING_S, "overtaken by an item that came more than ageing_s later"


def test_what_comes_later_joins_a_batch_that_has_room() -> None:
    """A plan is kept only while nothing could join it: the late item of the same length runs with the others."""
    queue: PendingQueue[Item] = PendingQueue(policy(launch=1.0, largest=4))
    for length in (10, 10, 400, 400):
        queue.add(Item(length, 201.0 if length == 10 else 250.0), NOW)
    queue.add(Item(400, 200.5), NOW)
    first = queue.take(NOW)
    queue.add(Item(10, 260.0), NOW)
    second = queue.take(NOW)
    assert sorted(item.tokens for item in first.run + second.run) == [10, 10, 10, 400, 400, 400]


def test_like_lengths_share_a_batch() -> None:
    """Where batches pay, the urgent item takes its neighbors in length, not its neighbors in the queue."""
    queue: PendingQueue[Item] = PendingQueue(policy(launch=0.005, largest=8))
    for place, length in enumerate([10, 500, 11, 490, 12]):
        queue.add(Item(length, 200.0 + place), NOW)
    assert sorted(item.tokens for item in queue.take(NOW).run) == [10, 11, 12]


def test_fifo_batches_are_in_order_of_arrival() -> None:
    """The comparison: in order of arrival, padded to the longest."""
    queue: PendingQueue[Item] = PendingQueue(policy(launch=0.0, largest=4, scheduler="fifo"))
    for length in [10, 500, 11, 490, 12]:
        queue.add(Item(length, 200.0), NOW)
    assert [item.tokens for item in queue.take(NOW).run] == [10, 500, 11, 490]


def test_a_hastened_item_comes_first() -> None:
    """A second, more urgent waiter pulls the item forward; one that has left changes nothing."""
    queue: PendingQueue[Item] = PendingQueue(policy(largest=1))
    first, second = Item(10, 102.0), Item(20, 104.0)
    queue.add(first, NOW)
    number = queue.add(second, NOW)
    queue.raise_priority(number, 101.0)
    assert queue.take(NOW).run == [second]
    queue.raise_priority(number, 100.5)
    assert queue.take(NOW).run == [first]


def test_a_batch_does_not_make_the_urgent_item_late() -> None:
    """Batching pays, but not at the price of a deadline that the item alone would meet."""
    queue: PendingQueue[Item] = PendingQueue(policy(launch=0.2, largest=8))
    urgent = Item(10, NOW + 0.22)
    for item in (urgent, Item(500, 200.0), Item(500, 200.0)):
        queue.add(item, NOW)
    assert queue.take(NOW).run == [urgent]


def test_drain_empties() -> None:
    """Everything comes out, and the queue can go on."""
    queue: PendingQueue[Item] = PendingQueue(policy())
    queue.add(Item(3, 200.0), NOW)
    assert [item.tokens for item in queue.drain()] == [3]
    assert len(queue) == 0
    queue.add(Item(4, 200.0), NOW)
    assert [item.tokens for item in queue.take(NOW).run] == [4]
