"""Assignment: known answers, uniform, and ranges of buckets by weight."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from service.domain import Item, Message, RawText, RawTokens, ScoreItem
from service.experiments.assign import (
    BUCKETS,
    PUBLIC_KEY,
    Allocation,
    allocate,
    arm_of,
    bucket,
    counts,
    derive_key,
    named_unit,
    unit_of,
)

GOLDEN = Path(__file__).parent / "golden_buckets.tsv"
weights = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 10_000), min_size=1, max_size=8).filter(
    lambda found: any(found.values())
)


def test_a_thousand_known_answers() -> None:
    """The bucket of a unit is the same in every process and release."""
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1000
    for line in lines:
        experiment, unit, expected = line.split("\t")
        assert bucket(PUBLIC_KEY, experiment, unit) == int(expected)


def test_units_are_spread_evenly() -> None:
    """100,000 units: chi-square over 100 equal ranges and over the allocation of uneven weights, p > 0.001."""
    places = [bucket(PUBLIC_KEY, "even", f"unit:{number}") for number in range(100_000)]
    seen = Counter(place // 100 for place in places)
    assert chisquare([seen[part] for part in range(100)]).pvalue > 0.001
    allocation = allocate({"a": 70, "b": 20, "c": 10})
    arms = Counter(arm_of(allocation, place) for place in places)
    assert chisquare([arms["a"], arms["b"], arms["c"]], [70_000, 20_000, 10_000]).pvalue > 0.001


def test_experiments_are_independent() -> None:
    """The arm in one experiment says nothing of the arm in another, nor under another key."""
    table = Counter(
        (bucket(PUBLIC_KEY, "x", str(i)) < 5000, bucket(PUBLIC_KEY, "y", str(i)) < 5000) for i in range(40_000)
    )
    assert chisquare(list(table.values()), [10_000] * 4).pvalue > 0.001
    other = derive_key(b"a secret of this service")
    table = Counter((bucket(PUBLIC_KEY, "x", str(i)) < 5000, bucket(other, "x", str(i)) < 5000) for i in range(40_000))
    assert chisquare(list(table.values()), [10_000] * 4).pvalue > 0.001


def owners(allocation: Allocation) -> list[str]:
    """The arm of every bucket, by looking each up."""
    return [arm_of(allocation, place) for place in range(BUCKETS)]


@settings(max_examples=40)
@given(weights)
def test_shares_are_right_to_a_bucket(weights: Mapping[str, int]) -> None:
    """The ranges cover all buckets once, and each arm's differ by less than one bucket from its weight's share."""
    allocation = allocate(weights)
    size = counts(allocation)
    total = sum(weights.values())
    assert (allocation[0].start, allocation[-1].stop, sum(size.values())) == (0, BUCKETS, BUCKETS)
    assert all(left.stop == right.start for left, right in pairwise(allocation))
    assert all(abs(size.get(arm, 0) - weight * BUCKETS / total) < 1 for arm, weight in weights.items())
    assert Counter(owners(allocation)) == size


@settings(max_examples=40)
@given(st.tuples(st.integers(0, 100), st.integers(1, 100)), st.tuples(st.integers(0, 100), st.integers(1, 100)))
def test_two_arms_change_by_the_gain(one: tuple[int, int], two: tuple[int, int]) -> None:
    """With two arms new weights move as many buckets as the growing arm gains; not one more."""
    before, after = (allocate({"a": a, "b": b}) for a, b in (one, two))
    moved = sum(old != new for old, new in zip(owners(before), owners(after), strict=True))
    assert moved == abs(counts(before).get("a", 0) - counts(after).get("a", 0))


CHAT = (Message("system", "Be brief."), Message("user", "Name a prime."))


@pytest.mark.parametrize(
    ("items", "shared"),
    [
        ([ScoreItem("p", "a"), ScoreItem("p", "b")], True),
        ([ScoreItem("p", "a"), ScoreItem("q", "b")], False),
        ([ScoreItem(CHAT, "a"), ScoreItem(CHAT, "b")], True),
        ([RawText("p a", True, prompt="p"), RawText("p b", True, prompt="p")], True),
        ([RawText("p a", True), RawText("p b", True)], False),
        ([RawTokens((1, 2))], False),
        ([], False),
    ],
)
def test_a_group_is_one_unit(items: list[Item], shared: bool) -> None:
    """Items of one prompt are one unit; where the prompt is not known or not one, there is none."""
    assert (unit_of(items) is not None) == shared


@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=8)), max_size=3), st.text(max_size=8)
)
def test_units_are_told_apart(turns: list[tuple[str, str]], text: str) -> None:
    """Different prompts are different units, and none is a unit that a caller names; one user's turn is its text."""
    chat = tuple(Message(role, content) for role, content in turns)  # type: ignore[arg-type]
    first, second = unit_of([ScoreItem(chat, "a")]), unit_of([ScoreItem(text, "b")])
    alike = len(chat) == 1 and chat[0] == Message("user", text)
    assert (first == second) == alike
    assert named_unit(text) not in {first, second}
