"""Temperature: found where it was planted, never made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from model_export.errors import ExportError
from model_export.fit_calibration import (
    calibrate,
    choose,
    cross_validate,
    fit_isotonic,
    fit_power,
    fit_temperature,
    probabilities,
    quality,
)
from plurality.core.rows import PreferenceRow
from service.bundle.calibrate import Calibrator

Array = NDArray[np.float64]


def labeled(label: float, **fields: str) -> PreferenceRow:
    return PreferenceRow.model_validate(
        {"id": "1", "prompt": "p", "response_a": "a", "response_b": "b", "label": label, **fields}
    )


def probability(difference: Array, temperature: float) -> Array:
    return probabilities(Calibrator(temperature), difference)


@settings(max_examples=50)
@given(st.floats(0.05, 50.0), st.integers(0, 2**31))
def test_a_planted_temperature_is_found(temperature: float, seed: int) -> None:
    """Soft labels σ(d/T) give T back; so do binary ones drawn from them, within their noise."""
    rng = np.random.default_rng(seed)
    difference = rng.normal(0, 2 * temperature, 2000)
    soft = probability(difference, temperature)
    assert fit_temperature(difference, soft) == pytest.approx(temperature, rel=1e-4)
    drawn = (rng.random(2000) < soft).astype(float)
    assert fit_temperature(difference, drawn) == pytest.approx(temperature, rel=0.35)


@settings(max_examples=30)
@given(st.integers(-3, 5))
def test_the_unit_of_the_rewards_does_not_matter(exponent: int) -> None:
    """Rewards in another unit give the temperature in that unit: no fixed range cuts it off unsaid."""
    difference = np.linspace(-3, 3, 200)
    soft, unit = probability(difference, 1.5), 10.0**exponent
    assert fit_temperature(unit * difference, soft) == pytest.approx(1.5 * unit, rel=1e-4)


def test_refusals() -> None:
    """Too few pairs, or rewards that disagree with the labels, fix no temperature."""
    difference = np.linspace(-1, 1, 40)
    with pytest.raises(ExportError, match="at least 30"):
        fit_temperature(difference[:29], np.ones(29))
    with pytest.raises(ExportError, match="do not agree"):
        fit_temperature(difference, (difference < 0).astype(float))
    with pytest.raises(ExportError, match="alike"):
        fit_temperature(np.zeros(40), np.ones(40))
    for unit in (1e-6, 1e9):
        with pytest.raises(ExportError, match="is not between"):
            fit_temperature(unit * difference, probability(difference, 1.0))


def test_calibration_improves_what_it_reports() -> None:
    """NLL on the pairs never gets worse; the record says what was there before and after."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(0, 5, 800)
    gap = rewards[::2] - rewards[1::2]
    labels = (rng.random(400) < probability(gap, 4.0)).astype(float)
    pairs = [labeled(float(label)) for label in labels]
    found = calibrate(rewards, pairs)
    assert found.pairs == 400
    assert found.after.nll < found.before.nll
    assert found.after.ece < found.before.ece
    assert found.after == quality(probability(gap, found.temperature), labels)
    assert 0 < found.ece_noise_floor < 0.1


@settings(max_examples=20)
@given(st.floats(0.4, 2.5), st.floats(0.2, 5.0))
def test_a_planted_power_is_found(exponent: float, temperature: float) -> None:
    """Soft labels of a power give its T and γ back."""
    difference = np.random.default_rng(1).normal(0, 2 * temperature, 1500)
    planted = Calibrator(temperature, exponent)
    found = fit_power(difference, probabilities(planted, difference))
    assert (found.temperature, found.exponent) == pytest.approx((temperature, exponent), rel=2e-3)


def test_isotonic_is_the_mirrored_regression() -> None:
    """On soft labels of a curve it gives the curve; it never leaves [1/2, 1), and mirrored pairs change nothing."""
    difference = np.random.default_rng(2).normal(0, 3, 4000)
    label = np.where(np.abs(difference) < 2, 0.5, np.where(difference > 0, 0.9, 0.1))
    found = fit_isotonic(difference, label)
    assert found.probability(1.0) == pytest.approx(0.5, abs=0.01)
    assert found.probability(4.0) == pytest.approx(0.9, abs=0.01)
    mirrored = fit_isotonic(-difference, 1 - label)
    assert mirrored.knots == found.knots
    certain = fit_isotonic(np.linspace(-2, 2, 61), (np.linspace(-2, 2, 61) > 0.5).astype(float))
    assert all(0.5 <= level < 1 for _, level in certain.knots)


def test_isotonic_with_ties() -> None:
    """Pairs of one |Δ| are one value, whatever the order of the rows; equal rewards say nothing; knots are bounded."""
    gap, label = np.repeat([1.0, 3.0], 50), np.r_[np.arange(50) < 35, np.arange(50) < 45].astype(float)
    order = np.random.default_rng(0).permutation(100)
    found = fit_isotonic(gap, label)
    assert np.array(found.knots) == pytest.approx(np.array([[1.0, 0.7], [3.0, 0.9]]))
    assert fit_isotonic(gap[order], label[order]).knots == found.knots
    zeros, ones = np.r_[gap, np.zeros(40)], np.r_[label, np.ones(40)]
    assert fit_isotonic(zeros, ones).knots == fit_isotonic(-zeros, 1 - ones).knots == found.knots
    wide = np.linspace(0.01, 9, 5000)
    pairs = [labeled(float(p)) for p in probability(wide, 2.0)]
    many = calibrate(np.stack([wide, np.zeros(5000)], axis=1).ravel(), pairs, method="isotonic")
    assert len(many.knots) <= 1024
    assert many.calibrator.probability(4.0) == pytest.approx(float(probability(np.array([4.0]), 2.0)[0]), abs=1e-3)


@pytest.mark.parametrize(
    "planted", [Calibrator(3.0), Calibrator(2.0, 2.5), Calibrator(knots=((1.0, 0.5), (1.5, 0.95)))]
)
def test_auto_chooses_what_was_planted(planted: Calibrator) -> None:
    """By cross-validated NLL, with folds by prompt; temperature unless another is clearly better."""
    rng = np.random.default_rng(3)
    rewards = rng.normal(0, 2, 12_000)
    gap = rewards[::2] - rewards[1::2]
    labels = (rng.random(6000) < probabilities(planted, gap)).astype(float)
    pairs = [labeled(float(label), prompt=f"p{i // 2}") for i, label in enumerate(labels)]
    found = calibrate(rewards, pairs, method="auto")
    expected = "isotonic" if planted.knots else "power" if planted.exponent != 1 else "temperature"
    assert found.method == expected
    assert set(found.cross_validated_nll) == {"temperature", "power", "isotonic"}
    assert found.after == quality(probabilities(found.calibrator, gap), labels)
    assert found.after.nll < found.before.nll


def test_folds_keep_a_prompt_together() -> None:
    """A prompt whose pairs all agree would teach its own fold, were they split."""
    rng = np.random.default_rng(4)
    gap = rng.normal(0, 1, 600)
    prompts = [f"p{i // 20}" for i in range(600)]
    losses = cross_validate(gap, (rng.random(600) < 0.5 + 0.1 * np.sign(gap)).astype(float), prompts)
    assert all(len(values) == 600 for values in losses.values())
    assert choose({"temperature": np.zeros(9), "power": np.ones(9), "isotonic": np.ones(9)}) == "temperature"


def test_sources_have_temperatures() -> None:
    """Planted per source, found per source; a source with too few pairs has none; other methods refuse."""
    rng = np.random.default_rng(5)
    rewards = rng.normal(0, 3, 8000)
    gap = rewards[::2] - rewards[1::2]
    names = ["web" if i % 2 else "talk" for i in range(3990)] + ["rare"] * 10
    planted = np.array([{"web": 1.0, "talk": 4.0, "rare": 1.0}[name] for name in names])
    labels = (rng.random(4000) < 1 / (1 + np.exp(-gap / planted))).astype(float)
    pairs = [labeled(float(y), source=name) for y, name in zip(labels, names, strict=True)]
    found = calibrate(rewards, pairs, per_source=True)
    assert found.sources == {"web": pytest.approx(1.0, rel=0.2), "talk": pytest.approx(4.0, rel=0.2)}
    assert found.sources["web"] < found.temperature < found.sources["talk"]
    with pytest.raises(ExportError, match="does not go with isotonic"):
        calibrate(rewards, pairs, method="isotonic", per_source=True)
