"""The plan: pure functions with exact properties."""

import itertools
from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from service.batching.cost import Cell, CostModel
from service.batching.policy import BatchLimits, Policy, choose, partition, shrink_to_deadlines

NOW = 100.0
exact = settings(derandomize=True, max_examples=300, deadline=None)
# Seconds by batch size and length, from "batching never pays" to "a call costs the same whatever is in it".
costs = st.builds(
    lambda launch, token, square: CostModel(
        [Cell(b, n, launch + token * b * n + square * b * n * n) for b in (1, 2, 3, 4, 6) for n in (1, 8, 64)],
        max_items=6,
        max_tokens=64,
    ),
    st.floats(1e-4, 1.0),
    st.floats(0.0, 1e-2),
    st.floats(0.0, 1e-4),
)
policies = st.builds(Policy, st.builds(BatchLimits, st.integers(1, 6), st.integers(1, 300)), costs)
lengths_of = st.lists(st.integers(1, 64), min_size=1, max_size=7).map(sorted)


def set_partitions(places: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way to split the places into batches, contiguous or not."""
    if not places:
        yield []
        return
    first, *rest = places
    for size in range(len(rest) + 1):
        for mates in itertools.combinations(rest, size):
            left = [place for place in rest if place not in mates]
            for others in set_partitions(left):
                yield [[first, *mates], *others]


def allowed(lengths: Sequence[int], batch: Sequence[int], policy: Policy) -> bool:
    longest = max(lengths[i] for i in batch)
    return len(batch) == 1 or (len(batch) <= policy.largest and len(batch) * longest <= policy.limits.max_tokens)


def total(lengths: Sequence[int], batches: Sequence[Sequence[int]], policy: Policy) -> float:
    return sum(policy.cost.seconds(len(batch), max(lengths[i] for i in batch)) for batch in batches)


@exact
@given(lengths_of, policies)
def test_no_split_of_the_items_is_faster(lengths: list[int], policy: Policy) -> None:
    """Least predicted time over all splits, also those that are not contiguous: against brute force."""
    ends = partition(lengths, policy)
    batches = [range(start, end) for start, end in itertools.pairwise([0, *ends])]
    assert all(allowed(lengths, batch, policy) for batch in batches)
    best = min(
        total(lengths, split, policy)
        for split in set_partitions(range(len(lengths)))
        if all(allowed(lengths, batch, policy) for batch in split)
    )
    assert abs(total(lengths, batches, policy) - best) <= 1e-12 * max(1.0, best)


@exact
@given(st.lists(st.integers(1, 64), min_size=1, max_size=60).map(sorted), policies, st.data())
def test_the_chosen_batch_holds_the_urgent_item(lengths: list[int], policy: Policy, data: st.DataObject) -> None:
    """Whatever the costs: the urgent item runs, and the limits hold."""
    urgent = data.draw(st.integers(0, len(lengths) - 1))
    batch = choose(lengths, urgent, policy)
    assert urgent in batch
    assert allowed(lengths, batch, policy)
    if len(lengths) <= 2 * 4 * policy.largest:
        ends = partition(lengths, policy)
        whole = next(range(start, end) for start, end in itertools.pairwise([0, *ends]) if start <= urgent < end)
        reach = 4 * policy.largest
        if urgent < reach and len(lengths) - urgent <= reach:
            assert batch == whole, "where the window sees everything, the choice is the best partition's"


@exact
@given(lengths_of, policies, st.data())
def test_a_batch_is_cut_to_its_deadlines(lengths: list[int], policy: Policy, data: st.DataObject) -> None:
    """What is left ends in time by prediction, or is the urgent item alone; it only ever gets smaller."""
    urgent = data.draw(st.integers(0, len(lengths) - 1))
    deadlines = data.draw(st.lists(st.floats(NOW, NOW + 3), min_size=len(lengths), max_size=len(lengths)))
    whole = range(len(lengths))
    cut = shrink_to_deadlines(whole, urgent, lengths, deadlines, NOW, policy) if len(whole) <= 6 else whole
    assert urgent in cut
    if 1 < len(cut) <= 6:
        end = NOW + policy.cost.seconds(len(cut), lengths[cut.stop - 1])
        assert end <= min(deadlines[cut.start : cut.stop])


def test_planning_is_a_small_part_of_the_work() -> None:
    """Counted, not timed: with 4,096 queued a choice looks at no more lengths than its window holds."""
    cells = [Cell(b, n, 0.01) for b in (1, 16, 64) for n in (16, 512)]
    policy = Policy(BatchLimits(64, 32768), CostModel(cells, max_items=64, max_tokens=512))
    looked = 0

    class Counted(list[int]):
        def __getitem__(self, where):  # type: ignore[no-untyped-def]
            nonlocal looked
            found = super().__getitem__(where)
            looked += len(found) if isinstance(where, slice) else 1
            return found

    assert choose(Counted(sorted(1 + i % 512 for i in range(4096))), 2000, policy)
    assert looked <= 2 * 4 * 64 + 1
