"""Best of n from pairs that share prompts."""

from itertools import combinations

import numpy as np
import pytest

from plurality.core.rows import PreferenceRow
from plurality.evaluation.predict import Predictions
from plurality.evaluation.sample import make_sample
from plurality.evaluation.selection import best_of_n_curve
from tests.plurality.training.data import row


def tournament(worths: list[float], prompt: str = "p") -> list[PreferenceRow]:
    """Every answer against every other one; a is preferred in the share of its worth."""
    return [
        row(id=f"{prompt}{i}{j}", prompt=prompt, response_a=f"{i}", response_b=f"{j}",
            label=1.0, true_preference=worths[i] / (worths[i] + worths[j]))
        for i, j in combinations(range(len(worths)), 2)
    ]  # fmt: skip


def rewarded(rows: list[PreferenceRow], rewards: list[float]) -> Predictions:
    both = np.array([[rewards[int(entry.response_a)], rewards[int(entry.response_b)]] for entry in rows])
    margin = both[:, 0] - both[:, 1]
    p = 1 / (1 + np.exp(-margin))
    return Predictions(margin, p, p, both)


def test_oracle_and_opposite() -> None:
    """A model that ranks as people do is the best line; n = 1 is any answer; the opposite one falls with n."""
    worths = [1.0, 2.0, 3.0, 4.0]
    rows = tournament(worths)
    sample = make_sample(rows)
    shares = [np.mean([w / (w + v) for v in worths if v != w]) for w in worths]
    good = best_of_n_curve(sample, rewarded(rows, worths))
    assert [point.n for point in good] == [1, 2, 3, 4]
    assert [point.chosen for point in good] == pytest.approx([point.best for point in good])
    assert good[0].chosen == pytest.approx(np.mean(shares)) == pytest.approx(0.5)
    assert good[3].chosen == pytest.approx(max(shares))
    bad = best_of_n_curve(sample, rewarded(rows, [-w for w in worths]))
    assert bad[3].chosen == pytest.approx(min(shares))
    assert {point.random for point in good} == {good[0].chosen}


def test_groups_of_different_size() -> None:
    """Each n is over the prompts that have so many answers; pairs alone make no curve."""
    rows = [*tournament([1, 2, 3], "x"), *tournament([1, 2, 3, 4, 5], "y"), *tournament([1, 2], "z")]
    curve = best_of_n_curve(make_sample(rows), rewarded(rows, [1, 2, 3, 4, 5]))
    assert [point.prompts for point in curve] == [2, 2, 2, 1, 1]
    few = tournament([1, 2])
    assert best_of_n_curve(make_sample(few), rewarded(few, [1, 2])) == []
