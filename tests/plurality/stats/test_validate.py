"""Tests of plurality/stats/_validate.py."""

from collections.abc import Callable

import numpy as np
import pytest

from plurality import stats
from plurality.stats._validate import at_least_one, fractions, vectors

TWO_VECTORS: list[Callable[[list[float], list[float]], object]] = [
    stats.pairwise_accuracy,
    stats.reliability_curve,
    stats.ece,
    stats.brier,
    stats.nll,
    stats.l1,
    stats.pearson,
    stats.spearman,
]


@pytest.mark.parametrize("statistic", TWO_VECTORS)
@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ([0.1, 0.2], [0.3], "length mismatch"),
        ([], [], "empty"),
        ([0.1, float("nan")], [0.0, 1.0], "NaN or infinity"),
        ([0.1, 0.2], [0.0, float("inf")], "NaN or infinity"),
        ([[0.1]], [[0.2]], "a vector is needed"),
    ],
)
def test_every_statistic_names_the_cause(
    statistic: Callable[[list[float], list[float]], object], first: list[float], second: list[float], cause: str
) -> None:
    """Every statistic of two vectors refuses bad input with a message that names the cause."""
    with pytest.raises(ValueError, match=cause):
        statistic(first, second)


@pytest.mark.parametrize("statistic", TWO_VECTORS[:-2])
@pytest.mark.parametrize("outside", [-1e-9, 1 + 1e-9])
def test_probabilities_stay_in_range(statistic: Callable[[list[float], list[float]], object], outside: float) -> None:
    """A probability or a label outside [0, 1] is refused, however little."""
    with pytest.raises(ValueError, match="probability has values outside"):
        statistic([outside], [1.0])
    with pytest.raises(ValueError, match=r"(label|fraction) has values outside"):
        statistic([0.5], [outside])


def test_good_input_becomes_float64() -> None:
    """Lists of integers come back as float64 vectors, in order of their names."""
    a, b = vectors(a=[1, 2], b=[3, 4])
    assert a.dtype == b.dtype == np.float64
    assert [a.tolist(), b.tolist()] == [[1.0, 2.0], [3.0, 4.0]]
    assert fractions(p=[0, 1])[0].tolist() == [0.0, 1.0]


def test_counts_start_at_one() -> None:
    """A count of zero is refused by its name."""
    at_least_one(bins=1)
    with pytest.raises(ValueError, match="draws must be at least 1, not 0"):
        at_least_one(bins=1, draws=0)


def test_undefined_is_a_value_error() -> None:
    """Callers who catch ValueError also catch an undefined statistic."""
    assert issubclass(stats.UndefinedStatistic, ValueError)
