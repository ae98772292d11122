"""Tests of plurality/stats/paired.py."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plurality.stats import UndefinedStatistic, brier, cluster_bootstrap, nll, paired_cluster_bootstrap
from plurality.stats._validate import Array
from plurality.stats.paired import STATISTICS, Figure, Resampling, anytime_difference, difference, figure
from tests.plurality.stats.strategies import pairs, shares, steady, votes

names = st.sampled_from(sorted(STATISTICS))
by_row = st.sampled_from(["accuracy", "brier", "nll"])
FEW = Resampling(draws=12)
RNG = np.random.default_rng(0)
P, Q, Y = RNG.random(40), RNG.random(40), (RNG.random(40) < 0.5).astype(np.float64)
PROMPTS = [str(row // 2) for row in range(40)]


@st.composite
def compared(draw: st.DrawFn) -> tuple[Array, Array, Array, list[int]]:
    """Two predictors, their target and each row's cluster, all of N rows."""
    row = st.tuples(shares, shares, st.one_of(votes, shares), st.integers(0, 5))
    rows = draw(st.lists(row, min_size=1, max_size=20))
    p, q, y = (np.array([row[place] for row in rows]) for place in range(3))
    return p, q, y, [row[3] for row in rows]


def test_a_figure_is_the_statistic_with_its_bootstrap_interval() -> None:
    """Draws, seed and level are those that were asked for."""
    found = figure(STATISTICS["brier"], P, Y, PROMPTS, Resampling(draws=50, seed=3, level=0.8))
    wanted = cluster_bootstrap(lambda rows: brier(P[rows], Y[rows]), PROMPTS, draws=50, seed=3, level=0.8)
    assert found == Figure(brier(P, Y), wanted.low, wanted.high)
    assert figure(STATISTICS["brier"], P, Y) == Figure(brier(P, Y))


def test_a_difference_is_paired() -> None:
    """Other less first, on the same resampled rows, with the bootstrap's p-value."""
    found, p_value = difference(STATISTICS["nll"], Q, P, Y, PROMPTS, Resampling(draws=50, seed=3, level=0.8))
    wanted = paired_cluster_bootstrap(
        lambda rows: nll(Q[rows], Y[rows]), lambda rows: nll(P[rows], Y[rows]), PROMPTS, draws=50, seed=3, level=0.8
    )
    assert found == Figure(wanted.estimate, wanted.low, wanted.high)
    assert found.estimate == nll(Q, Y) - nll(P, Y)
    assert p_value == wanted.p_value
    assert difference(STATISTICS["nll"], Q, P, Y) == (Figure(nll(Q, Y) - nll(P, Y)), None)


@steady
@given(compared(), names)
def test_equal_predictors_do_not_differ(given_: tuple[Array, Array, Array, list[int]], name: str) -> None:
    """The difference and its interval are exactly zero, and nothing is significant."""
    p, _, y, clusters = given_
    found, p_value = difference(STATISTICS[name], p, p, y, clusters, FEW)
    assert found.estimate in {0.0, None}
    assert found.low in {0.0, None}
    assert found.high in {0.0, None}
    assert p_value in {1.0, None}


@steady
@given(compared(), names)
def test_swapping_the_predictors_changes_the_sign(given_: tuple[Array, Array, Array, list[int]], name: str) -> None:
    """Of the estimate, and of the interval, whose ends change places; the p-value stays."""
    p, q, y, clusters = given_
    (there, p_there), (back, p_back) = (
        difference(STATISTICS[name], *sides, y, clusters, FEW) for sides in ((p, q), (q, p))
    )
    assert p_there == p_back
    assert there.note == back.note or "constant" in str(there.note)
    for one, other in ((there.estimate, back.estimate), (there.low, back.high), (there.high, back.low)):
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(-(other or 0.0), abs=1e-9)


@steady
@given(compared(), names)
def test_a_figure_is_finite_or_says_why_not(given_: tuple[Array, Array, Array, list[int]], name: str) -> None:
    """Never NaN: values are finite, and what is missing has a note."""
    p, q, y, clusters = given_
    for found in (
        figure(STATISTICS[name], p, y, clusters, FEW),
        difference(STATISTICS[name], q, p, y, clusters, FEW)[0],
    ):
        assert (found.low is None) == (found.high is None)
        assert bool(found.note) == (found.estimate is None or found.low is None)
        assert all(value is None or math.isfinite(value) for value in (found.estimate, found.low, found.high))


def test_an_undefined_statistic_is_a_note() -> None:
    """Without a value, without a value of one side, without rows, and with a value but a single cluster."""
    pearson = STATISTICS["pearson"]
    constant = np.full(40, 0.5)
    assert figure(pearson, constant, Y, PROMPTS).note == "correlation: first is constant"
    assert difference(pearson, P, constant, Y, PROMPTS) == (Figure(None, note="correlation: first is constant"), None)
    nothing = np.array([])
    assert figure(pearson, nothing, nothing, []) == Figure(None, note="there are no rows")
    assert figure(STATISTICS["brier"], P, Y, ["same"] * 40, FEW) == Figure(
        brier(P, Y), note="bootstrap: a single cluster shows no spread"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_statistic_of_nan_is_refused(value: float) -> None:
    """A statistic that forgets to say that it has no value stops, with or without an interval."""
    with pytest.raises(ValueError, match="must raise UndefinedStatistic") as found:
        figure(lambda p, y: value, P, Y)
    assert not isinstance(found.value, UndefinedStatistic)


@steady
@given(compared(), by_row)
def test_anytime_differences_swap_and_vanish(given_: tuple[Array, Array, Array, list[int]], name: str) -> None:
    """Swapped predictors swap the interval; equal ones differ by zero at p = 1."""
    p, q, y, clusters = given_
    assume(name != "accuracy" or (y != 0.5).any())
    there, back = (anytime_difference(name, *sides, y, clusters, alpha=0.05) for sides in ((p, q), (q, p)))
    same = anytime_difference(name, p, p, y, clusters, alpha=0.05)
    assert there is not None
    assert back is not None
    assert same is not None
    assert (there.estimate, there.low, there.high) == pytest.approx((-back.estimate, -back.high, -back.low), abs=1e-9)
    assert (same.estimate, same.p_value) == (0.0, 1.0)


def test_anytime_accuracy_is_of_decided_rows() -> None:
    """Tied labels are no unit; Brier counts them; a cluster is counted when it is full."""
    p, q, y = np.array([0.9, 0.1, 0.9]), np.array([0.1, 0.1, 0.9]), np.array([1.0, 0.5, 1.0])
    accuracy = anytime_difference("accuracy", p, q, y, ["a", "b", "c"], alpha=0.05)
    assert accuracy is not None
    assert (accuracy.count, accuracy.estimate) == (2, 0.5)
    squares = anytime_difference("brier", p, q, y, ["a", "b", "c"], alpha=0.05)
    assert squares is not None
    assert squares.count == 3
    assert squares.estimate == pytest.approx(-0.8 / 3)
    panel = anytime_difference("brier", p, q, y, ["a", "b", "a"], alpha=0.05, per_cluster=2)
    assert panel is not None
    assert panel.count == 1
    assert panel.estimate == pytest.approx(-0.4)
    assert anytime_difference("brier", p, q, y, ["a", "b", "c"], alpha=0.05, per_cluster=2) is None
    tied = np.full(3, 0.5)
    assert anytime_difference("accuracy", p, q, tied, ["a", "b", "c"], alpha=0.05) is None


def test_anytime_log_losses_are_cut() -> None:
    """A certain and wrong prediction loses log 99 to a certain and right one, not 36 nats."""
    found = anytime_difference("nll", np.array([1.0]), np.array([0.0]), np.array([1.0]), ["a"], alpha=0.05)
    assert found is not None
    assert found.estimate == pytest.approx(-math.log(99))
    unsure = anytime_difference("nll", np.array([0.001]), np.array([0.5]), np.array([1.0]), ["a"], alpha=0.05)
    assert unsure is not None
    assert unsure.estimate == pytest.approx(math.log(50))


@steady
@given(pairs())
def test_statistics_are_named_as_everywhere(rows: tuple[Array, Array]) -> None:
    """The names that replies and reports use are in the table; each is a function of P and a target."""
    assert {"accuracy", "ece", "brier", "nll", "pearson", "l1"} <= set(STATISTICS)
    p, y = rows
    for statistic in STATISTICS.values():
        try:
            assert math.isfinite(statistic(p, y))
        except UndefinedStatistic:
            continue
