"""Tests of plurality/stats/dependent.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from scipy.stats import t as student

from plurality.stats import UndefinedStatistic, williams
from plurality.stats.dependent import student_two_sided
from tests.plurality.stats.strategies import steady


@steady
@given(st.floats(-40, 40), st.integers(1, 400))
def test_tail_is_students(t: float, degrees: int) -> None:
    """The finite series is Student's t for every whole number of degrees of freedom."""
    assert student_two_sided(t, degrees) == pytest.approx(2 * student.sf(abs(t), degrees), abs=1e-12)


def test_steigers_formula() -> None:
    """t is that of the formula written with correlations, on rows that have exactly these."""
    rng = np.random.default_rng(0)
    a, b, y = rng.normal(size=(3, 103))
    a, b = a + y, b + 0.5 * y
    r = np.corrcoef([a, b, y])
    r_ay, r_by, r_ab, n = r[0, 2], r[1, 2], r[0, 1], 103
    determinant = np.linalg.det(r)
    spread = 2 * (n - 1) / (n - 3) * determinant + ((r_ay + r_by) / 2) ** 2 * (1 - r_ab) ** 3
    found = williams(a, b, y)
    assert found.t == pytest.approx((r_ay - r_by) * np.sqrt((n - 1) * (1 + r_ab) / spread), rel=1e-9)
    assert found.degrees == 100
    assert found.p_value == pytest.approx(2 * student.sf(abs(found.t), 100), abs=1e-12)
    assert williams(b, a, y).t == pytest.approx(-found.t)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    """Two models of equal correlation: the p-values of 400 samples are uniform (Kolmogorov-Smirnov)."""
    rng = np.random.default_rng(1)
    values = []
    for _ in range(400):
        y, shared, a, b = rng.normal(size=(4, 40))
        values.append(williams(y + shared + a, y + shared + b, y).p_value)
    assert kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("first", "second", "truth", "cause"),
    [
        ([0, 1, 2], [2, 0, 1], [0, 1, 1], "at least 4 rows"),
        ([0, 1, 2, 3], [1, 3, 5, 7], [0, 1, 1, 0], "the same up to scale"),
        ([1, 1, 1, 1], [1, 3, 5, 7], [0, 1, 1, 0], "constant"),
        ([0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3], "no spread"),
    ],
)
def test_no_test(first: list[float], second: list[float], truth: list[float], cause: str) -> None:
    """Where there is nothing to test, it says so."""
    with pytest.raises(UndefinedStatistic, match=cause):
        williams(first, second, truth)
