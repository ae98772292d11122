"""Trivial predictors: fitted honestly, antisymmetric, and blind to words."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from plurality.core.rows import PreferenceRow
from plurality.evaluation.baselines import baseline_predictions, fit_logistic, folds, format_features, length_features
from tests.plurality.evaluation.synthetic import Array
from tests.plurality.training.data import row


def longer_wins(count: int, share: float = 0.8) -> list[PreferenceRow]:
    """Pairs whose longer answer is preferred by this share; half of them are at b."""
    rows = []
    for i in range(count):
        texts = ["x" * 50, "x" * 10][:: 1 if i % 2 else -1]
        votes = {"a": round(10 * share), "b": round(10 * (1 - share))}
        votes = votes if i % 2 else {"a": votes["b"], "b": votes["a"]}
        rows.append(row(id=str(i), prompt=f"p{i}", response_a=texts[0], response_b=texts[1], votes=votes))
    return rows


def test_length_finds_the_share() -> None:
    """Where the longer answer is preferred by 80 %, length alone says 0.8, and not the label's 1."""
    found = baseline_predictions(longer_wins(400))["length"].calibrated
    assert found[1::2] == pytest.approx(0.8, abs=0.01)
    assert found[::2] == pytest.approx(0.2, abs=0.01)


def test_fit_is_the_penalized_optimum() -> None:
    """The fit reaches the optimum that a general minimizer finds, whatever the unit of a feature."""
    rng = np.random.default_rng(0)
    x: Array = rng.normal(size=(80, 3))
    y = (rng.random(80) < 1 / (1 + np.exp(-x @ [1.0, -2.0, 0.0]))).astype(np.float64)
    scaled = x / np.sqrt(np.mean(x**2, axis=0))

    def loss(w: Array) -> float:
        return float(np.sum(np.logaddexp(0, scaled @ w) - y * (scaled @ w)) + 0.5 * w @ w)

    expected = minimize(loss, np.zeros(3), tol=1e-10).x
    weights = fit_logistic(x, y)
    assert x @ weights == pytest.approx(scaled @ expected, abs=1e-4)
    assert (1000 * x) @ fit_logistic(1000 * x, y) == pytest.approx(x @ weights, abs=1e-9)


def test_features_that_never_differ() -> None:
    """A feature that is the same on both sides has no weight; separable data has a finite one."""
    weights = fit_logistic(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([1.0, 1.0]))
    assert weights[1] == 0
    assert 0 < weights[0] < 10


def test_a_pair_is_never_in_its_own_fit() -> None:
    """Labels of a prompt do not change what is predicted for it: changing them all changes nothing there."""
    rows = longer_wins(40)
    fold = folds(rows)
    changed = [
        entry.model_copy(update={"votes": None, "label": 0.5}) if part == fold[0] else entry
        for entry, part in zip(rows, fold, strict=True)
    ]
    before, after = (baseline_predictions(entries)["length"].calibrated for entries in (rows, changed))
    held = fold == fold[0]
    assert before[held].tolist() == after[held].tolist()
    assert before[~held].tolist() != after[~held].tolist()


def test_folds_keep_prompts_together() -> None:
    """Pairs on one prompt are in one fold, wherever they stand and whatever is beside them."""
    rows = [row(id=str(i), prompt=f"p{i % 7}") for i in range(30)]
    fold = folds(rows)
    assert all(len({fold[i] for i in range(30) if i % 7 == k}) == 1 for k in range(7))
    assert folds(rows[3:4])[0] == fold[3]


def test_swapped_answers() -> None:
    """P(a,b) + P(b,a) = 1 for every baseline."""
    rows = longer_wins(40)
    swapped = [
        entry.model_copy(
            update={
                "response_a": entry.response_b,
                "response_b": entry.response_a,
                "votes": entry.votes and entry.votes.model_copy(update={"a": entry.votes.b, "b": entry.votes.a}),
            }
        )
        for entry in rows
    ]
    for one, other in zip(baseline_predictions(rows).values(), baseline_predictions(swapped).values(), strict=True):
        assert one.calibrated + other.calibrated == pytest.approx(1, abs=1e-12)
        assert one.margin == pytest.approx(one.rewards[:, 0] - one.rewards[:, 1])


def test_one_prompt() -> None:
    """With a single prompt there is nothing to fit on: only even odds are left."""
    found = baseline_predictions([row(id=str(i), prompt="p") for i in range(4)])
    assert list(found) == ["even odds"]
    assert found["even odds"].calibrated.tolist() == [0.5] * 4


def test_features() -> None:
    """Length is characters and words; format counts marks, not words."""
    assert length_features("two words") == (9.0, pytest.approx(math.log(3)))
    assert format_features("plain") == [0.0] * len(format_features(""))
    bullets, numbered, heading, bold = format_features("# T\n- a\n* b\n1. c\n**d**")[:4]
    assert (bullets, numbered, heading, bold) == pytest.approx([math.log(n) for n in (3, 2, 2, 3)])
