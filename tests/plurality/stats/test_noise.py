"""Tests of plurality/stats/noise.py."""

import numpy as np
import pytest
from hypothesis import given

from plurality.stats import reliability_band, reliability_curve
from plurality.stats._validate import Array
from tests.plurality.stats.strategies import pairs, steady


def test_width_is_the_binomial_standard_error() -> None:
    """With one prediction of 0.8 on N pairs the band is 0.8 ± 1.645 √(0.8 · 0.2 / N)."""
    band = reliability_band(np.full(400, 0.8), draws=4000)
    expected = 1.645 * np.sqrt(0.16 / 400)
    assert band.predicted.tolist() == pytest.approx([0.2, 0.8])
    assert band.high - band.predicted == pytest.approx(expected, rel=0.1)
    assert band.predicted - band.low == pytest.approx(expected, rel=0.1)


@steady
@given(pairs())
def test_bins_are_those_of_the_curve(rows: tuple[Array, Array]) -> None:
    """The band has the curve's bins, and low ≤ high in each."""
    p, y = rows
    band, curve = reliability_band(p, draws=5), reliability_curve(p, y)
    assert band.predicted == pytest.approx(curve.predicted, abs=1e-12)
    assert (band.low <= band.high).all()


def test_no_draws() -> None:
    """A band of no draws is refused."""
    with pytest.raises(ValueError, match="draws must be at least 1"):
        reliability_band([0.3], draws=0)
