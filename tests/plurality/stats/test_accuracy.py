"""Tests of plurality/stats/accuracy.py."""

import numpy as np
import pytest
from hypothesis import assume, given

from plurality.stats import UndefinedStatistic, pairwise_accuracy
from plurality.stats._validate import Array
from plurality.stats.accuracy import correctness
from tests.plurality.stats.strategies import dyadic, pairs, steady


def test_ties_do_not_count_and_even_odds_count_half() -> None:
    """Ties leave the denominator; a prediction of exactly 1/2 is half right."""
    found = pairwise_accuracy([0.9, 0.2, 0.5, 0.7, 0.99], [1, 1, 0, 0.6, 0.5])
    assert found == (1 + 0 + 0.5 + 1) / 4


def test_only_ties_have_no_accuracy() -> None:
    """Without a decided pair the accuracy is undefined, and says so."""
    with pytest.raises(UndefinedStatistic, match="every label is a tie"):
        pairwise_accuracy([0.3, 0.8], [0.5, 0.5])


def test_correctness_of_each_pair() -> None:
    """Right, wrong, and half right where the prediction or the label is undecided."""
    assert correctness([0.9, 0.2, 0.5, 0.7, 0.99], [1, 1, 0, 0.6, 0.5]).tolist() == [1.0, 0.0, 0.5, 1.0, 0.5]


@steady
@given(pairs(dyadic))
def test_antisymmetry(rows: tuple[Array, Array]) -> None:
    """Reversing every prediction turns accuracy A into 1 − A; reversing the labels too restores it."""
    p, y = rows
    assume((y != 0.5).any())
    found = pairwise_accuracy(p, y)
    assert pairwise_accuracy(1 - p, y) == pytest.approx(1 - found, abs=1e-12)
    assert pairwise_accuracy(1 - p, 1 - y) == found


@steady
@given(pairs())
def test_order_of_rows_and_monotone_maps_do_not_matter(rows: tuple[Array, Array]) -> None:
    """Only the side of 1/2 counts: shuffled rows and hardened predictions give the same result."""
    p, y = rows
    assume((y != 0.5).any())
    found = pairwise_accuracy(p, y)
    shuffle = np.random.default_rng(0).permutation(len(p))
    assert pairwise_accuracy(p[shuffle], y[shuffle]) == pytest.approx(found, abs=1e-12)
    assert pairwise_accuracy((1 + np.sign(p - 0.5)) / 2, y) == found
