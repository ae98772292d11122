"""Tests of plurality/stats/selection.py."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.stats import best_of_n
from tests.plurality.stats.strategies import steady

groups = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 9)), min_size=1, max_size=6)


@steady
@given(groups)
def test_is_the_mean_over_all_draws(answers: list[tuple[int, int]]) -> None:
    """Every subset counted by hand, ties of the best shared: the same expectation."""
    reward, value = (np.array(side, dtype=np.float64) for side in zip(*answers, strict=True))
    found = best_of_n(reward, value)
    shared = np.array([value[reward == r].mean() for r in reward])
    for n in range(1, len(reward) + 1):
        picked = [shared[max(chosen, key=lambda i: reward[i])] for chosen in combinations(range(len(reward)), n)]
        assert found[n - 1] == pytest.approx(np.mean(picked))


@steady
@given(groups)
def test_ends(answers: list[tuple[int, int]]) -> None:
    """n = 1 is no selection; n = K the best by reward; monotone maps of the reward change nothing."""
    reward, value = (np.array(side, dtype=np.float64) for side in zip(*answers, strict=True))
    found = best_of_n(reward, value)
    assert found[0] == pytest.approx(value.mean())
    assert found[-1] == pytest.approx(value[reward == reward.max()].mean())
    assert best_of_n(np.tanh(reward), value) == pytest.approx(found)


def test_oracle_of_uniform_values() -> None:
    """Choosing by the value itself among 1 ... K: the expected maximum of n is n (K + 1) / (n + 1)."""
    values = np.arange(1, 9)
    expected = [n * 9 / (n + 1) for n in range(1, 9)]
    assert best_of_n(values, values) == pytest.approx(expected)
