"""Rewards to probabilities: exact properties."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle.calibrate import (
    Calibrator,
    expected_disagreement,
    group_advantages,
    sigmoid,
    softmax,
)

finite = st.floats(-1e6, 1e6, allow_nan=False)
temperatures = st.floats(1e-3, 1e4)
rising = st.lists(
    st.tuples(st.floats(1e-3, 100.0), st.floats(0.5, 1.0)), min_size=1, max_size=6, unique_by=lambda k: k[0]
)
calibrators = st.one_of(
    st.builds(Calibrator, temperatures),
    st.builds(Calibrator, temperatures, st.floats(0.1, 16.0)),
    rising.map(
        lambda knots: Calibrator(knots=tuple(zip(*(sorted(side) for side in zip(*knots, strict=True)), strict=True)))
    ),
)
exact = settings(max_examples=200)


@exact
@given(finite, calibrators)
def test_antisymmetric(difference: float, calibrator: Calibrator) -> None:
    """P(a,b) + P(b,a) = 1 to 1e-12, and P lies in [0, 1], whatever the method."""
    forward, backward = calibrator.probability(difference), calibrator.probability(-difference)
    assert abs(forward + backward - 1.0) <= 1e-12
    assert 0.0 <= forward <= 1.0


@exact
@given(finite, finite, calibrators)
def test_monotone(first: float, second: float, calibrator: Calibrator) -> None:
    """A larger difference never gives a smaller probability (to the last digit of a line between two knots)."""
    low, high = sorted((first, second))
    assert calibrator.probability(low) <= calibrator.probability(high) + 1e-15


def test_methods_known_values() -> None:
    """σ(Δ/T); σ((Δ/T)^γ); a line from (0, 1/2) to the first knot, and level beyond the last."""
    assert Calibrator(2.0).probability(2 * math.log(3)) == pytest.approx(0.75)
    assert Calibrator(2.0, 2.0).probability(-4.0) == pytest.approx(1 - sigmoid(4.0))
    assert Calibrator(2.0, 2.0).probability(0.0) == 0.5
    assert Calibrator(1.0, 16.0).probability(1e6) == 1.0
    curve = Calibrator(knots=((1.0, 0.6), (3.0, 0.9)))
    found = [curve.probability(gap) for gap in (0.0, 0.5, 1.0, 2.0, 3.0, 99.0, -2.0)]
    assert found == pytest.approx([0.5, 0.55, 0.6, 0.75, 0.9, 0.9, 0.25])


def test_a_sources_own_temperature() -> None:
    """One that the calibration knows has its own; another, or none, the pooled one."""
    calibrator = Calibrator(2.0, sources={"web": 1.0})
    assert calibrator.probability(1.0, "web") == sigmoid(1.0)
    assert calibrator.probability(1.0, "other") == calibrator.probability(1.0) == sigmoid(0.5)


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
        pair = Calibrator(temperature).probability(values[0] - values[1])
        assert weights[0] == pytest.approx(pair, abs=1e-9)


def test_group_advantages() -> None:
    """(r - mean) / (sample std + 1e-4); a collapsed group and a single response give zeros."""
    advantages = group_advantages([1.0, 2.0, 3.0])
    assert advantages == pytest.approx([-1 / 1.0001, 0.0, 1 / 1.0001])
    assert group_advantages([5.0, 5.0]) == [0.0, 0.0]
    assert group_advantages([5.0]) == [0.0]
