"""The plan and the cost model behind it: pure functions with exact properties."""

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.policy import (
    MIN_GAIN,
    BatchLimits,
    Cell,
    CostModel,
    Policy,
    may_grow,
    partition,
    plan_around,
    shrink_to_deadlines,
)

NOW = 100.0
exact = settings(max_examples=300)
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
@given(st.lists(st.integers(1, 64), min_size=1, max_size=120).map(sorted), policies, st.data())
def test_the_plan_around_the_urgent_item(lengths: list[int], policy: Policy, data: st.DataObject) -> None:
    """Whatever the costs: one batch holds the urgent item, batches are disjoint, the limits hold.

    Where the neighborhood is the whole queue, the plan is the best partition.
    """
    urgent = data.draw(st.integers(0, len(lengths) - 1))
    batches = plan_around(lengths, urgent, policy)
    assert sum(urgent in batch for batch in batches) == 1
    assert all(allowed(lengths, batch, policy) for batch in batches)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(batches))
    reach = 4 * policy.largest
    if policy.largest > 1 and urgent <= reach and len(lengths) - urgent - 1 <= reach:
        ends = partition(lengths, policy)
        assert batches == [range(start, end) for start, end in itertools.pairwise([0, *ends])]


@exact
@given(lengths_of, policies)
def test_a_batch_that_may_not_grow_is_full(lengths: list[int], policy: Policy) -> None:
    """One more item of the same length would break a limit, and only then."""
    more = [*lengths, lengths[-1]]
    fits = len(more) <= policy.largest and len(more) * more[-1] <= policy.limits.max_tokens
    assert may_grow(lengths, policy) == fits


@exact
@given(lengths_of, policies, st.data())
def test_a_batch_is_cut_to_its_deadlines(lengths: list[int], policy: Policy, data: st.DataObject) -> None:
    """What is left ends in time by prediction, or is the urgent item alone; it only ever gets smaller."""
    lengths = lengths[: policy.largest]
    urgent = data.draw(st.integers(0, len(lengths) - 1))
    deadlines = data.draw(st.lists(st.floats(NOW, NOW + 3), min_size=len(lengths), max_size=len(lengths)))
    cut = shrink_to_deadlines(lengths, deadlines, urgent, NOW, policy)
    assert urgent in cut
    if len(cut) > 1:
        assert NOW + policy.cost.seconds(len(cut), lengths[cut.stop - 1]) <= min(deadlines[cut.start : cut.stop])


def test_planning_looks_at_a_neighborhood() -> None:
    """Counted, not timed: with 4,096 queued a plan reads no more lengths than its window holds."""
    cells = [Cell(b, n, 0.01) for b in (1, 16, 64) for n in (16, 512)]
    policy = Policy(BatchLimits(64, 32768), CostModel(cells, max_items=64, max_tokens=512))
    looked = 0

    class Counted(list[int]):
        def __getitem__(self, where):  # type: ignore[no-untyped-def]
            nonlocal looked
            found = super().__getitem__(where)
            looked += len(found) if isinstance(where, slice) else 1
            return found

    assert plan_around(Counted(sorted(1 + i % 512 for i in range(4096))), 2000, policy)
    assert looked <= 2 * 4 * 64 + 1


measured = st.floats(1e-6, 10.0)
singles = st.dictionaries(st.integers(1, 600), measured, min_size=1, max_size=5)
batches = st.dictionaries(st.tuples(st.integers(2, 12), st.integers(1, 600)), measured, max_size=8)


def cost_of(singles: dict[int, float], batches: dict[tuple[int, int], float], max_items: int = 8) -> CostModel:
    cells = [Cell(1, tokens, s) for tokens, s in singles.items()]
    cells += [Cell(items, tokens, s) for (items, tokens), s in batches.items()]
    return CostModel(cells, max_items=max_items, max_tokens=512)


@exact
@given(singles, batches, st.integers(1, 8), st.integers(1, 511))
def test_never_falls(one: dict[int, float], many: dict[tuple[int, int], float], items: int, tokens: int) -> None:
    """A longer or larger call never costs less, whatever noise was measured."""
    cost = cost_of(one, many)
    assert cost.seconds(items, tokens) > 0
    assert cost.seconds(items, tokens) <= cost.seconds(items, tokens + 1)
    if items < 8:
        assert cost.seconds(items, tokens) <= cost.seconds(items + 1, tokens)


@exact
@given(singles)
def test_what_was_not_measured_is_no_gain(one: dict[int, float]) -> None:
    """With single texts alone measured, batching never looks useful."""
    assert cost_of(one, {}).max_useful_batch == 1


def test_measured_cells_come_back() -> None:
    """At a measured shape the prediction is the measurement, less the margin that a batch must earn."""
    cost = cost_of({64: 0.010, 256: 0.050}, {(4, 64): 0.020})
    assert cost.seconds(1, 64) == pytest.approx(0.010)
    assert cost.seconds(1, 160) == pytest.approx(0.030)
    assert cost.seconds(1, 512) == pytest.approx(0.050 + (512 - 256) * 0.040 / 192)
    assert cost.seconds(4, 64) == pytest.approx(0.020 * (1 + MIN_GAIN))
    assert cost.max_useful_batch >= 4
    assert cost.seconds(4, 256) == pytest.approx(0.2 * (1 + MIN_GAIN)), "longer than measured: no gain assumed"


def test_a_cpu_and_a_gpu() -> None:
    """Linear time: one text a call. A constant up to saturation: large batches."""
    grid = [(items, tokens) for items in (1, 2, 4, 8) for tokens in (64, 256, 512)]
    cpu = CostModel([Cell(b, n, 1e-4 * b * n) for b, n in grid], max_items=8, max_tokens=512)
    gpu = CostModel([Cell(b, n, max(5e-3, 1e-6 * b * n)) for b, n in grid], max_items=8, max_tokens=512)
    assert (cpu.max_useful_batch, gpu.max_useful_batch) == (1, 8)


def test_very_long_models_share_columns() -> None:
    """The table stays small for 32k tokens; a length is predicted as the next column's."""
    cost = CostModel([Cell(1, 16, 0.001), Cell(1, 32768, 2.0)], max_items=1, max_tokens=32768)
    assert cost.seconds(1, 32768) == pytest.approx(2.0)
    assert cost.seconds(1, 40000) >= cost.seconds(1, 32768), "asked beyond the table: its end"
    assert cost.seconds(1, 65) == cost.seconds(1, 128)
