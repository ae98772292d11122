"""Paired differences by prompt, and Williams' test."""

import numpy as np
import pytest

from plurality.evaluation.compare import Comparison, compare
from plurality.evaluation.sample import Slice, make_sample
from plurality.stats import williams
from plurality.stats.paired import Resampling
from tests.plurality.evaluation.synthetic import make_rows, population_sample, population_shares, tempered

ALL = [Slice("all", "All", np.arange(120))]
SHARES = population_shares(120)


def difference(found: Comparison, statistic: str) -> tuple[float, float, float]:
    [entry] = [entry for entry in found.differences if entry.statistic == statistic]
    assert entry.low is not None
    assert entry.high is not None
    return entry.estimate, entry.low, entry.high


def test_oracle_beats_the_wrong_temperature() -> None:
    """other − first: the oracle's L1 is lower by exactly the other's, and the interval says so."""
    wrong = tempered(SHARES, 3.0)
    found = compare(population_sample(SHARES), ALL, ("wrong", wrong), ("oracle", SHARES), Resampling(200))
    estimate, low, high = difference(found, "l1")
    assert estimate == pytest.approx(-np.mean(np.abs(wrong - SHARES)))
    assert low < estimate < high < 0
    assert (found.first, found.other) == ("wrong", "oracle")
    assert found.williams == williams(SHARES, wrong, SHARES)


def test_turned_round() -> None:
    """Exchanging the two turns every difference, its interval and t round."""
    a, b = (np.clip(SHARES + np.random.default_rng(i).normal(0, 0.2, 120), 0, 1) for i in (1, 2))
    sample = population_sample(SHARES)
    forward, backward = (compare(sample, ALL, ("x", x), ("y", y), Resampling(50)) for x, y in ((a, b), (b, a)))
    for statistic in ("pearson", "l1", "accuracy", "ece"):
        estimate, low, high = difference(forward, statistic)
        assert difference(backward, statistic) == pytest.approx((-estimate, -high, -low), abs=1e-12)
    assert forward.williams is not None
    assert backward.williams is not None
    assert forward.williams.t == pytest.approx(-backward.williams.t)


def test_what_has_no_value_is_left_out() -> None:
    """A constant has no Pearson: that difference is missing, the others stand; without p* only the labels'."""
    even = np.full(120, 0.5)
    found = compare(population_sample(SHARES), ALL, ("even", even), ("oracle", SHARES), Resampling(20))
    assert [entry.statistic for entry in found.differences] == ["l1", "accuracy", "ece"]
    assert found.williams is None
    assert "constant" in str(found.williams_note)
    unknown = make_sample(make_rows(SHARES, true_preference=lambda _: None))
    labels_only = compare(unknown, ALL, ("even", even), ("oracle", SHARES), Resampling(20))
    assert [entry.statistic for entry in labels_only.differences] == ["accuracy", "ece"]
    assert labels_only.williams_note == "no pair has a known p*"


def test_one_prompt() -> None:
    """A single prompt has a difference but no interval, and says why."""
    sample = population_sample(SHARES, prompt=lambda _: "same")
    found = compare(sample, ALL, ("wrong", tempered(SHARES, 2.0)), ("oracle", SHARES), Resampling(20))
    assert {entry.low for entry in found.differences} == {None}
    assert all("single cluster" in str(entry.note) for entry in found.differences)
