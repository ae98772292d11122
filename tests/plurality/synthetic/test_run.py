"""Tests of plurality/synthetic/run.py."""

import numpy as np
import pytest

from plurality.stats import ece_noise_floor
from plurality.synthetic.run import KINDS, scores_by_kind
from tests.plurality.evaluation.synthetic import make_rows, population_shares, predictions, tempered


def test_scores_of_each_kind_and_of_all() -> None:
    """A kind's scores are those of its rows alone; the distance to people is to p*, the noise floor that of P."""
    shares = population_shares(40)
    rows = make_rows(shares, category=lambda i: ("objective", "subjective")[i % 2])
    probability = tempered(shares, 2.0)
    found = scores_by_kind(rows, predictions(probability))
    assert list(found) == list(KINDS)
    places = {"objective": np.arange(0, 40, 2), "subjective": np.arange(1, 40, 2), "all": np.arange(40)}
    for kind, chosen in places.items():
        assert found[kind]["pairs"] == len(chosen)
        assert found[kind]["l1"] == pytest.approx(np.mean(np.abs(probability - shares)[chosen]))
        assert found[kind]["ece_noise_floor"] == ece_noise_floor(probability[chosen]).mean
        assert (found[kind]["accuracy"], found[kind]["label_accuracy"]) == (1.0, 1.0)


def test_a_constant_has_no_correlation() -> None:
    """None, not zero and not NaN; the other scores stand."""
    shares = population_shares(8)
    rows = make_rows(shares, category=lambda i: ("objective", "subjective")[i % 2])
    found = scores_by_kind(rows, predictions(np.full(8, 0.6)))["all"]
    assert found["pearson"] is None
    assert found["l1"] == pytest.approx(np.mean(np.abs(0.6 - shares)))
