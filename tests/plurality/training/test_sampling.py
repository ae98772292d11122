"""The order of pairs: balanced by source, of like length, and a function of seed and epoch."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from plurality.training.errors import TrainingError
from plurality.training.sampling import BalancedSampler

exact = hypothesis_settings(max_examples=60)


def sampler(counts: list[int], each: int, *, seed: int = 0) -> BalancedSampler:
    """Pairs of sources of such sizes, shuffled, of random lengths; `each` of every source a step."""
    rng = random.Random(7)  # noqa: S311 - not a secret
    sources = [kind for kind, count in enumerate(counts) for _ in range(count)]
    rng.shuffle(sources)
    lengths = [rng.randint(1, 500) for _ in sources]
    return BalancedSampler(each * len(counts), sources=sources, lengths=lengths, seed=seed)


def steps(order: list[int], size: int) -> list[list[int]]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def source_of(made: BalancedSampler) -> dict[int, int]:
    return {index: kind for kind, members in enumerate(made.members) for index in members}


@exact
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 5))
def test_every_step_is_balanced(counts: list[int], each: int) -> None:
    """Each step holds n pairs of each source; an epoch is as many pairs as the data has, up to the last step's rest."""
    made = sampler(counts, each)
    order, kind = list(made), source_of(made)
    assert len(order) == len(made)
    assert sum(counts) <= len(order) < sum(counts) + each * len(counts)
    for step in steps(order, each * len(counts)):
        assert Counter(kind[index] for index in step) == dict.fromkeys(range(len(counts)), each)


@exact
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(1, 5))
def test_no_pair_twice_before_all_once(counts: list[int], each: int) -> None:
    """Pairs of one source are read equally often, to within one."""
    made = sampler(counts, each)
    seen = Counter(made)
    for members in made.members:
        times = [seen[index] for index in members]
        assert max(times) - min(times) <= 1


def test_order_of_seed_and_epoch() -> None:
    """The same seed and epoch give the same order, however often it is read; others another."""
    first, second = sampler([30, 50, 20], 4), sampler([30, 50, 20], 4)
    epoch_0 = list(first)
    first.set_epoch(1)
    epoch_1 = list(first)
    second.set_epoch(1)
    assert list(second) == epoch_1 != epoch_0
    first.set_epoch(0)
    assert list(first) == epoch_0
    assert list(sampler([30, 50, 20], 4, seed=5)) != epoch_0


def test_like_lengths() -> None:
    """A step's pairs are of like length, so that its padding is less than half that of a random order."""
    made = sampler([400, 300], 8)
    order = list(made)

    def padding(indices: list[int]) -> int:
        lengths = [made.lengths[index] for index in indices]
        return len(lengths) * max(lengths) - sum(lengths)

    mixed = random.Random(1).sample(order, len(order))  # noqa: S311 - not a secret
    assert sum(map(padding, steps(order, 16))) < 0.5 * sum(map(padding, steps(mixed, 16)))


@pytest.mark.parametrize(("size", "cure"), [(16, "15 or 18"), (2, "of 3")])
def test_unbalanced_step_refused(size: int, cure: str) -> None:
    """A step that does not divide by the number of sources is refused, with sizes that do."""
    with pytest.raises(TrainingError, match=f"cannot hold equally many of 3 sources; .* {cure}"):
        BalancedSampler(size, sources=[0, 1, 2], lengths=[1, 1, 1], seed=0)
