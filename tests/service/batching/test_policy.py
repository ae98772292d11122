"""The plan: a pure function with exact properties."""

from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching.policy import BatchLimits, Pending, plan

NOW = 100.0
pending_items = st.lists(
    st.builds(Pending, st.integers(1, 512), st.floats(90.0, 200.0), st.booleans() | st.just(False)), max_size=40
)
limits = st.builds(BatchLimits, st.integers(1, 16), st.integers(1, 4096), st.floats(0.0, 0.9))
exact = settings(derandomize=True, max_examples=400)


@exact
@given(pending_items, limits)
def test_each_item_goes_one_way(pending: list[Pending], bounds: BatchLimits) -> None:
    """Run, expired and abandoned are disjoint; expired and abandoned items never run (I4)."""
    made = plan(pending, NOW, bounds)
    everything = [*made.run, *made.expired, *made.abandoned]
    assert len(everything) == len(set(everything))
    assert all(not pending[i].abandoned and pending[i].deadline > NOW for i in made.run)
    assert set(made.abandoned) == {i for i, item in enumerate(pending) if item.abandoned}
    assert set(made.expired) == {i for i, p in enumerate(pending) if not p.abandoned and p.deadline <= NOW}


@exact
@given(pending_items, limits)
def test_no_idle_waiting_and_no_starvation(pending: list[Pending], bounds: BatchLimits) -> None:
    """If any live item is pending something runs, and the most urgent item is in it."""
    made = plan(pending, NOW, bounds)
    live = [i for i, item in enumerate(pending) if not item.abandoned and item.deadline > NOW]
    assert bool(made.run) == bool(live)
    if live:
        assert min(live, key=lambda i: (pending[i].deadline, i)) in made.run


@exact
@given(pending_items, limits)
def test_within_the_limits(pending: list[Pending], bounds: BatchLimits) -> None:
    """Items, padded tokens and padding share stay within their limits; a single item always fits."""
    made = plan(pending, NOW, bounds)
    lengths = [pending[i].tokens for i in made.run]
    assert len(lengths) <= bounds.max_items
    if len(lengths) > 1:
        padded = len(lengths) * max(lengths)
        assert padded <= bounds.max_tokens
        assert padded - sum(lengths) <= bounds.max_padding * padded + 1e-9


@exact
@given(st.lists(st.integers(1, 64), min_size=1, max_size=60), st.integers(1, 8))
def test_draining_a_queue_runs_everything_once(lengths: list[int], most: int) -> None:
    """Planning again and again empties any queue, each item once."""
    waiting = list(enumerate(lengths))
    ran: list[int] = []
    while waiting:
        made = plan([Pending(n, 1e9) for _, n in waiting], NOW, BatchLimits(most, 256, 0.2))
        ran += [waiting[i][0] for i in made.run]
        waiting = [entry for i, entry in enumerate(waiting) if i not in made.run]
    assert sorted(ran) == list(range(len(lengths)))


def test_like_lengths_share_a_batch() -> None:
    """The urgent item takes its neighbours in length, not its neighbours in the queue."""
    lengths = [10, 100, 11, 99, 12]
    made = plan([Pending(n, 200.0) for n in lengths], NOW, BatchLimits(8, 8192, 0.2))
    assert sorted(lengths[i] for i in made.run) == [10, 11, 12]


def test_growing_takes_the_nearer_side() -> None:
    """Of two neighbours the one that adds less padding comes first."""
    lengths = [50, 47, 52, 40, 60]
    made = plan([Pending(n, 100.0 + i + 1) for i, n in enumerate(lengths)], NOW, BatchLimits(2, 8192, 0.5))
    assert sorted(lengths[i] for i in made.run) == [50, 52]
    three = plan([Pending(n, 100.0 + i + 1) for i, n in enumerate(lengths)], NOW, BatchLimits(3, 8192, 0.5))
    assert sorted(lengths[i] for i in three.run) == [47, 50, 52]
