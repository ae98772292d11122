"""Temperature: found where it was planted, never made up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.errors import ExportError
from model_export.fit_calibration import calibrate, fit_temperature, probability, quality
from model_export.pairs import LabelledPair


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.floats(0.05, 50.0), st.integers(0, 2**31))
def test_a_planted_temperature_is_found(temperature: float, seed: int) -> None:
    """Soft labels σ(d/T) give T back; so do binary ones drawn from them, within their noise."""
    rng = np.random.default_rng(seed)
    difference = rng.normal(0, 2 * temperature, 2000)
    soft = probability(difference, temperature)
    assert fit_temperature(difference, soft) == pytest.approx(temperature, rel=1e-4)
    drawn = (rng.random(2000) < soft).astype(float)
    assert fit_temperature(difference, drawn) == pytest.approx(temperature, rel=0.35)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(st.integers(-3, 5))
def test_the_unit_of_the_rewards_does_not_matter(exponent: int) -> None:
    """Rewards in another unit give the temperature in that unit: no fixed range cuts it off unsaid."""
    difference = np.linspace(-3, 3, 200)
    soft, unit = probability(difference, 1.5), 10.0**exponent
    assert fit_temperature(unit * difference, soft) == pytest.approx(1.5 * unit, rel=1e-4)


@settings(derandomize=True, max_examples=100)
@given(st.floats(-500, 500), st.floats(0.01, 100))
def test_antisymmetric(difference: float, temperature: float) -> None:
    """P(a,b) + P(b,a) = 1 to 1e-12."""
    there, back = probability(np.array([difference, -difference]), temperature)
    assert abs(there + back - 1) <= 1e-12


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
    pairs = [LabelledPair("p", "a", "b", float(label)) for label in labels]
    found = calibrate(rewards, pairs)
    assert found.pairs == 400
    assert found.after.nll < found.before.nll
    assert found.after.ece < found.before.ece
    assert found.after == quality(probability(gap, found.temperature), labels)
    assert 0 < found.ece_noise_floor < 0.1
