"""Best of n is an exact mean over subsets, and its truth goes with the service's order, not with its own."""

from itertools import combinations

import numpy as np
import pytest

from plurality.synthetic.population import attributes, make_population
from research.rlhf.curves import best_of_n_curve, chances_of_best, interval
from research.rlhf.oracle import Oracle
from research.rlhf.prompts import Prompts, StudyPrompt

PROMPT = StudyPrompt("p", "capitals", {"Yes.": list(attributes(correct=1.0)), "No.": list(attributes())})


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_chances_are_those_of_all_subsets(n: int) -> None:
    values = np.array([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    subsets = [max(chosen) for chosen in combinations(values, n)]
    assert chances_of_best(6, n) @ values == pytest.approx(np.mean(subsets))


def test_a_reward_model_that_errs_gains_proxy_and_loses_truth() -> None:
    rows: list[dict[str, object]] = [
        {"prompt": "p", "texts": ["Yes.", "No.", "No.", "No."], "rewards": [-1.0, 3.0, 2.0, 1.0], "order": [1, 2, 3, 0]}
    ]
    one, two, four = best_of_n_curve(rows, Oracle(Prompts((PROMPT,), ()), make_population(seed=0)), most=4)
    assert one.reward[0] < two.reward[0] < four.reward[0]
    assert one.utility[0] > two.utility[0] >= four.utility[0]
    assert four.reward[0] == pytest.approx(3.0)
    assert four.utility[0] == pytest.approx(0.0)
    assert one.ceiling < two.ceiling < four.ceiling
    assert (one.kl, four.kl) == pytest.approx((0.0, np.log(4) - 0.75))


def test_an_interval_holds_its_mean() -> None:
    mean, low, high = interval(np.arange(50.0))
    assert mean == pytest.approx(24.5)
    assert low < mean < high
