"""Tests of plurality/stats/tails.py."""

import numpy as np
import pytest
from scipy.stats import norm

from plurality.stats import outliers


def test_by_hand() -> None:
    """Quartiles 1 and 3: fences at −2 and 6; a value on a fence is inside."""
    found = outliers([1, 1, 1, 2, 2, 3, 3, 3, 6, -2, 7, 9, -5])
    assert (found.low_fence, found.high_fence) == (-2.0, 6.0)
    assert (found.low_count, found.high_count) == (1, 2)
    assert (found.low_mean, found.high_mean) == (-5.0, 8.0)


def test_none() -> None:
    """Without an outlier there is no mean: None, not zero."""
    found = outliers([0.0, 1.0])
    assert (found.low_count, found.high_count, found.low_mean, found.high_mean) == (0, 0, None, None)


def test_normal() -> None:
    """Of a normal sample 0.35 % lie outside either fence."""
    found = outliers(norm.ppf((np.arange(100_000) + 0.5) / 100_000))
    expected = norm.sf(norm.ppf(0.75) * 4)
    assert found.high_count / 100_000 == pytest.approx(expected, rel=0.01)
    assert found.low_count == found.high_count


def test_bad_input() -> None:
    """No values, or NaN, are refused."""
    with pytest.raises(ValueError, match="empty"):
        outliers([])
    with pytest.raises(ValueError, match="NaN"):
        outliers([float("nan")])
