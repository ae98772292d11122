"""Tests of plurality/stats/correlation.py."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from plurality.stats import UndefinedStatistic, pearson, spearman
from plurality.stats._validate import Array
from plurality.stats.correlation import average_ranks
from tests.plurality.stats.strategies import steady

values = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))
correlations = st.sampled_from([pearson, spearman])


@st.composite
def columns(draw: st.DrawFn) -> tuple[Array, Array]:
    """Two vectors of one length, neither constant, with ties."""
    rows = np.array(draw(st.lists(st.tuples(values, values), min_size=2, max_size=30)))
    assume(np.ptp(rows[:, 0]) > 0 and np.ptp(rows[:, 1]) > 0)
    return rows[:, 0], rows[:, 1]


@steady
@given(columns())
def test_pearson_is_scipy_s(rows: tuple[Array, Array]) -> None:
    """Pearson agrees with scipy.stats.pearsonr."""
    assert pearson(*rows) == pytest.approx(float(scipy.stats.pearsonr(*rows).statistic), abs=1e-9)


@steady
@given(columns())
def test_spearman_is_scipy_s(rows: tuple[Array, Array]) -> None:
    """Spearman agrees with scipy.stats.spearmanr, ties included."""
    assert spearman(*rows) == pytest.approx(float(scipy.stats.spearmanr(*rows).statistic), abs=1e-9)


@steady
@given(columns())
def test_ranks_are_scipy_s(rows: tuple[Array, Array]) -> None:
    """Ranks from 0 are scipy's average ranks less one."""
    assert average_ranks(rows[0]).tolist() == (scipy.stats.rankdata(rows[0]) - 1).tolist()


@steady
@given(columns(), correlations)
def test_symmetry_and_antisymmetry(rows: tuple[Array, Array], correlation: Callable[..., float]) -> None:
    """r(a, b) = r(b, a) = −r(−a, b), r(a, a) = 1, shuffled rows do not matter."""
    a, b = rows
    r = correlation(a, b)
    assert -1 <= r <= 1
    assert correlation(b, a) == pytest.approx(r, abs=1e-12)
    assert correlation(-a, b) == pytest.approx(-r, abs=1e-12)
    assert correlation(a, a) == pytest.approx(1, abs=1e-12)
    shuffle = np.random.default_rng(0).permutation(len(a))
    assert correlation(a[shuffle], b[shuffle]) == pytest.approx(r, abs=1e-12)


@steady
@given(columns())
def test_spearman_ignores_monotone_maps_and_pearson_affine_ones(rows: tuple[Array, Array]) -> None:
    """σ(Δ) and Δ share one Spearman, not one Pearson; scale and shift change neither."""
    a, b = rows
    assert spearman(np.arcsinh(a), b) == pytest.approx(spearman(a, b), abs=1e-12)
    assert pearson(4 * a + 1, b) == pytest.approx(pearson(a, b), abs=1e-9)


def test_saturation_moves_pearson_alone() -> None:
    """Pearson of σ(Δ) differs from Pearson of Δ; Spearman does not."""
    difference = np.linspace(-3, 9, 25)
    probability = 1 / (1 + np.exp(-difference))
    assert spearman(difference, probability) == pytest.approx(1)
    assert pearson(difference, probability) < 0.95


@pytest.mark.parametrize("correlation", [pearson, spearman])
@pytest.mark.parametrize(
    ("first", "second", "name"),
    [([2, 2, 2], [1, 2, 3], "first"), ([1, 2, 3], [0.1, 0.1, 0.1], "second"), ([1], [2], "first")],
)
def test_a_constant_has_no_correlation(
    correlation: Callable[..., float], first: list[float], second: list[float], name: str
) -> None:
    """A constant is named, and is not NaN."""
    with pytest.raises(UndefinedStatistic, match=f"{name} is constant"):
        correlation(first, second)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-200, 1.0, 1e200, 8e307])
def test_any_finite_scale_is_safe(scale: float) -> None:
    """Neither subnormal nor nearly infinite values lose the correlation."""
    pattern = np.array([0.0, 1.0, 2.0])
    assert pearson(pattern * scale, [0, 1, 2]) == pytest.approx(1, abs=1e-12)
    assert pearson([-scale, scale], [1, 0]) == pytest.approx(-1, abs=1e-12)


def test_the_smallest_spread_is_centered() -> None:
    """Values one float apart still correlate to exactly −1 with their mirror image."""
    assert pearson([1.0, np.nextafter(1.0, 2.0)], [1.0, 0.0]) == pytest.approx(-1, abs=1e-12)
