"""Tests of plurality/stats/decomposition.py."""

import numpy as np
import pytest
from hypothesis import given

from plurality.stats import brier, brier_parts
from plurality.stats._validate import Array
from tests.plurality.stats.strategies import pairs, steady


def test_oracle_with_exact_labels() -> None:
    """One prediction a bin, labels in that share: reliability 0, and Brier = 1/4 − resolution = mean p(1 − p)."""
    p = np.repeat([0.55, 0.7, 0.8, 1.0], 20)
    y = np.concatenate([np.arange(20) < round(20 * share) for share in (0.55, 0.7, 0.8, 1.0)]).astype(np.float64)
    parts = brier_parts(p, y)
    assert parts.reliability == pytest.approx(0, abs=1e-12)
    assert parts.within == pytest.approx(0, abs=1e-12)
    assert parts.uncertainty == 0.25
    assert parts.resolution == pytest.approx(np.mean((p - 0.5) ** 2), abs=1e-12)
    assert brier(p, y) == pytest.approx(np.mean(p * (1 - p)), abs=1e-12)


def test_constant_predictor() -> None:
    """P = 0.9 where 0.6 choose a: reliability 0.3², resolution 0.1²."""
    parts = brier_parts(np.full(10, 0.9), [1.0] * 6 + [0.0] * 4)
    assert [parts.reliability, parts.resolution] == pytest.approx([0.09, 0.01])


@steady
@given(pairs())
def test_the_parts_add_up(rows: tuple[Array, Array]) -> None:
    """Whatever the data, the four parts make the Brier score, and the first three are not negative."""
    p, y = rows
    parts = brier_parts(p, y)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(brier(p, y), abs=1e-12)
    assert min(parts.reliability, parts.resolution, parts.uncertainty) >= 0
