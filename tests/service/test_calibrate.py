"""Rewards to probabilities: exact properties."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.calibrate import (
    expected_disagreement,
    group_advantages,
    preference_probability,
    sigmoid,
    softmax,
)

finite = st.floats(-1e6, 1e6, allow_nan=False)
temperatures = st.floats(1e-3, 1e4)
exact = settings(derandomize=True, max_examples=200)


@exact
@given(finite, temperatures)
def test_antisymmetric(difference: float, temperature: float) -> None:
    """P(a,b) + P(b,a) = 1 to 1e-12, and P lies in [0, 1]."""
    forward = preference_probability(difference, temperature=temperature)
    backward = preference_probability(-difference, temperature=temperature)
    assert abs(forward + backward - 1.0) <= 1e-12
    assert 0.0 <= forward <= 1.0


@exact
@given(finite, finite, temperatures)
def test_monotone(first: float, second: float, temperature: float) -> None:
    """A larger difference never gives a smaller probability."""
    low, high = sorted((first, second))
    assert preference_probability(low, temperature=temperature) <= preference_probability(high, temperature=temperature)


def test_sigmoid_known_values() -> None:
    """σ(0) = 1/2, σ(ln 3) = 3/4, and no overflow at the ends."""
    assert sigmoid(0.0) == 0.5
    assert sigmoid(math.log(3)) == pytest.approx(0.75, abs=1e-15)
    assert sigmoid(1e9) == 1.0
    assert sigmoid(-1e9) == 0.0


@pytest.mark.parametrize(("probability", "disagreement"), [(0.5, 1.0), (1.0, 0.0), (0.0, 0.0), (0.75, 0.5)])
def test_expected_disagreement(probability: float, disagreement: float) -> None:
    """1 - |2P - 1|."""
    assert expected_disagreement(probability) == disagreement


@exact
@given(st.lists(finite, min_size=1, max_size=20), temperatures)
def test_softmax_is_a_distribution(values: list[float], temperature: float) -> None:
    """Weights sum to 1 and keep the order of the rewards; two values give the pair's probability."""
    weights = softmax(values, temperature=temperature)
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-9)
    ranked = sorted(zip(values, weights, strict=True))
    assert all(low[1] <= high[1] for low, high in pairwise(ranked))
    if len(values) == 2:
        pair = preference_probability(values[0] - values[1], temperature=temperature)
        assert weights[0] == pytest.approx(pair, abs=1e-9)


def test_group_advantages() -> None:
    """(r - mean) / (sample std + 1e-4); a collapsed group and a single response give zeros."""
    advantages = group_advantages([1.0, 2.0, 3.0])
    assert advantages == pytest.approx([-1 / 1.0001, 0.0, 1 / 1.0001])
    assert group_advantages([5.0, 5.0]) == [0.0, 0.0]
    assert group_advantages([5.0]) == [0.0]
