"""Every figure equals its closed form on a population whose p* is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.evaluation.figures import TO_LABELS, TO_PEOPLE, WITH_INTERVAL, SliceFigures, slice_figures
from plurality.evaluation.sample import Sample, Slice, make_sample
from plurality.stats.paired import Resampling
from tests.plurality.evaluation.synthetic import (
    Array,
    exact_labels,
    make_rows,
    population_sample,
    population_shares,
    predictions,
    tempered,
)

SHARES = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]


def figures(sample: Sample, probability: Array, resampling: Resampling | None = None) -> SliceFigures:
    return slice_figures(sample, Slice("all", "All", np.arange(len(sample.rows))), probability, resampling)


def people(found: SliceFigures, name: str) -> float:
    value = found.people[name].estimate
    assert value is not None
    return value


def label(found: SliceFigures, name: str) -> float:
    value = found.labels[name].estimate
    assert value is not None
    return value


def test_by_hand() -> None:
    """On four rows worked out by hand every figure is that value."""
    shares, labels = np.array([0.9, 0.7, 0.2, 0.5]), np.array([1.0, 0.0, 0.0, 1.0])
    found = figures(population_sample(shares, labels), np.array([0.8, 0.6, 0.55, 0.1]))
    assert people(found, "majority_accuracy") == pytest.approx(2 / 3, abs=1e-12)  # the even population is left out
    assert label(found, "accuracy") == pytest.approx(1 / 4, abs=1e-12)
    assert people(found, "l1") == pytest.approx((0.1 + 0.1 + 0.35 + 0.4) / 4, abs=1e-12)
    # Deviations from the means 0.5125 and 0.575.
    p, q = np.array([0.2875, 0.0875, 0.0375, -0.4125]), np.array([0.325, 0.125, -0.375, -0.075])
    assert people(found, "pearson") == pytest.approx(p @ q / np.sqrt((p @ p) * (q @ q)), abs=1e-12)
    # Two-sided bins by confidence: {.8: right}, {.6, .55: wrong, wrong}, {.9: wrong}; both sides alike.
    assert label(found, "ece") == pytest.approx((0.2 + 2 * 0.575 + 0.9) / 4, abs=1e-12)


def test_oracle() -> None:
    """Who says p* itself: correlations 1, every distance to people 0, majority always right."""
    shares = population_shares(200)
    found = figures(population_sample(shares), shares)
    for name in ("pearson", "spearman", "disagreement_spearman", "majority_accuracy"):
        assert people(found, name) == pytest.approx(1, abs=1e-12)
    for name in ("l1", "brier_soft", "kl", "ece_soft"):
        assert people(found, name) == pytest.approx(0, abs=1e-9)


def test_oracle_against_exact_labels() -> None:
    """Labels in exactly the shares p*: ECE 0, Brier mean p(1 − p), NLL mean entropy, accuracy mean max(p, 1 − p)."""
    shares, labels = exact_labels(SHARES)
    found = figures(population_sample(shares, labels), shares)
    p = np.array(SHARES)
    for name in ("ece", "ece_confidence", "ace", "mce"):
        assert label(found, name) == pytest.approx(0, abs=1e-12)
    assert label(found, "brier") == pytest.approx(np.mean(p * (1 - p)), abs=1e-12)
    assert label(found, "nll") == pytest.approx(-np.mean(p * np.log(p) + (1 - p) * np.log(1 - p)), abs=1e-12)
    assert label(found, "accuracy") == pytest.approx(np.mean(np.maximum(p, 1 - p)), abs=1e-12)
    parts = found.brier_parts
    assert parts.reliability == pytest.approx(0, abs=1e-12)
    assert parts.uncertainty - parts.resolution == pytest.approx(np.mean(p * (1 - p)), abs=1e-12)


@pytest.mark.parametrize("power", [0.5, 2.0, 3.0])
def test_temperature_shift(power: float) -> None:
    """A wrong temperature moves q to σ(power · logit q): L1, ECE and Brier's excess are that distance, ranks stay."""
    shares, labels = exact_labels([0.2, 0.8])
    p = tempered(shares, power)
    found = figures(population_sample(shares, labels), p)
    shift = abs(0.8**power / (0.8**power + 0.2**power) - 0.8)
    assert people(found, "l1") == pytest.approx(shift, abs=1e-12)
    assert label(found, "ece") == pytest.approx(shift, abs=1e-12)
    assert label(found, "brier") == pytest.approx(0.16 + shift**2, abs=1e-12)
    assert found.brier_parts.reliability == pytest.approx(shift**2, abs=1e-12)
    assert label(found, "accuracy") == pytest.approx(0.8)
    wide = population_shares(300)
    assert people(figures(population_sample(wide), tempered(wide, power)), "spearman") == pytest.approx(1)


def test_constant_predictor() -> None:
    """P = 0.7 for all where 60 % chose a: ECE 0.1, NLL the cross-entropy; no correlation, and it says so."""
    labels = np.array([1.0] * 6 + [0.0] * 4)
    found = figures(population_sample(np.full(10, 0.6), labels), np.full(10, 0.7))
    assert label(found, "ece") == pytest.approx(0.1)
    assert label(found, "nll") == pytest.approx(-0.6 * np.log(0.7) - 0.4 * np.log(0.3))
    assert people(found, "kl") == pytest.approx(0.6 * np.log(0.6 / 0.7) + 0.4 * np.log(0.4 / 0.3))
    assert found.people["pearson"].estimate is None
    assert "constant" in str(found.people["pearson"].note)


def test_antisymmetric_predictor() -> None:
    """Who always says the opposite has correlation −1, and a distance of |1 − 2p*|."""
    shares = population_shares(100)
    found = figures(population_sample(shares), 1 - shares)
    assert people(found, "pearson") == pytest.approx(-1)
    assert people(found, "l1") == pytest.approx(np.mean(np.abs(1 - 2 * shares)))
    assert people(found, "majority_accuracy") == 0
    assert people(found, "disagreement_spearman") == pytest.approx(1)


def test_sampled_labels() -> None:
    """One drawn annotator a pair: accuracy and Brier of the oracle are as expected, within 4 standard errors."""
    shares = population_shares(4000, seed=1)
    labels = (np.random.default_rng(2).random(4000) < shares).astype(np.float64)
    found = figures(population_sample(shares, labels), shares)
    assert label(found, "accuracy") == pytest.approx(np.mean(np.maximum(shares, 1 - shares)), abs=4 * 0.5 / 4000**0.5)
    assert label(found, "brier") == pytest.approx(np.mean(shares * (1 - shares)), abs=4 * 0.25 / 4000**0.5)
    assert label(found, "ece") < 2 * found.noise_floor.high


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans()), min_size=1, max_size=12))
def test_no_figure_is_ever_nan(cells: list[tuple[int, int, bool]]) -> None:
    """Whatever the rows, each figure is finite, or None with its reason; the order of a and b does not matter."""
    shares, p = (np.array([cell[i] / 20 for cell in cells]) for i in (0, 1))
    labels = np.array([float(cell[2]) for cell in cells])
    found = figures(population_sample(shares, labels), p, Resampling(draws=5))
    swapped = figures(population_sample(1 - shares, 1 - labels), 1 - p)
    for side, mirror in ((found.people, swapped.people), (found.labels, swapped.labels)):
        for name, entry in side.items():
            assert entry.note if entry.estimate is None else np.isfinite(entry.estimate)
            other = mirror[name].estimate
            assert (entry.estimate is None) == (other is None)
            if entry.estimate is not None:
                assert entry.estimate == pytest.approx(other, abs=1e-9)


def test_intervals() -> None:
    """Where they are asked for, four figures have an interval that holds them; few prompts are flagged."""
    shares = population_shares(60)
    labels = (np.random.default_rng(3).random(60) < shares).astype(np.float64)
    sample = population_sample(shares, labels)
    found = figures(sample, tempered(shares, 2.0), Resampling(draws=100))
    assert not found.small
    for name, entry in [*found.people.items(), *found.labels.items()]:
        assert (entry.low is not None) == (name in WITH_INTERVAL)
    l1 = found.people["l1"]
    assert l1.low is not None
    assert l1.high is not None
    assert l1.low < people(found, "l1") < l1.high
    few = slice_figures(sample, Slice("source", "few", np.arange(29)), shares, None)
    assert (few.pairs, few.prompts, few.small) == (29, 29, True)


def test_one_prompt_has_no_interval() -> None:
    """Many pairs on one prompt: the figure stands, the interval does not, and the reason is there."""
    shares = population_shares(10)
    found = figures(population_sample(shares, prompt=lambda _: "same"), tempered(shares, 2.0), Resampling(draws=10))
    assert found.people["l1"].estimate is not None
    assert found.people["l1"].low is None
    assert "single cluster" in str(found.people["l1"].note)
    assert found.prompts == 1


def test_without_people() -> None:
    """Rows without p*: no figure against people, each says why; those against labels stand."""
    rows = make_rows(np.array([0.9, 0.2]), true_preference=lambda _: None)
    found = figures(make_sample(rows), np.array([0.8, 0.4]), Resampling(draws=5))
    assert found.with_people == 0
    assert {entry.estimate for entry in found.people.values()} == {None}
    assert "no pair has a known p*" in str(found.people["l1"].note)
    assert label(found, "accuracy") == 1.0


def test_names() -> None:
    """A statistic's name says what it is against: none is in both."""
    assert not set(TO_PEOPLE) & set(TO_LABELS)
    assert set(WITH_INTERVAL) <= set(TO_PEOPLE) | set(TO_LABELS)
    assert predictions(np.array([0.5])).margin.tolist() == [0.0]
