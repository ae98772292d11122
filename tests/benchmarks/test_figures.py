"""The arithmetic behind the tables."""

import numpy as np
import pytest

from benchmarks.offline import planned_padding
from benchmarks.report import paired, per_s, share, spread
from benchmarks.serving import percentiles
from benchmarks.soak import slope_interval
from service.engine.policy import BatchLimits, Cell, CostModel, Policy
from tests.fakes import BATCHING_PAYS


def test_padding() -> None:
    """Padded less used tokens, over padded; sorting first lowers it, batches of one have none."""
    lengths = [10, 100, 10, 100]
    assert share(lengths, 2, window=1) == pytest.approx(1 - 220 / 400)
    assert share(lengths, 2, window=4) == 0.0
    assert share(lengths, 1, window=1) == 0.0


def test_planned_padding() -> None:
    """Where a call costs the same whatever is in it all run together, padded; where only tokens cost, each alone."""
    free = Policy(BatchLimits(8, 8192), BATCHING_PAYS)
    linear = CostModel([Cell(b, n, 1e-4 * b * n) for b in (1, 8) for n in (1, 64)], max_items=8, max_tokens=64)
    assert planned_padding([10, 20], free) == pytest.approx(1 - 30 / 40)
    assert planned_padding([10, 20], Policy(BatchLimits(8, 8192), linear)) == 0.0


def test_ratios_are_within_rounds() -> None:
    """A round is compared with itself; one without its partner is left out."""
    upper = [{"round": n, "items": 10, "wall_s": 1.0} for n in (0, 1, 2)]
    lower = [{"round": n, "items": 5 * (n + 1), "wall_s": 1.0} for n in (0, 1)]
    assert paired(upper, lower, per_s) == [2.0, 1.0]
    assert spread([3.0, 1.0, 2.0]) == "2.0 (1.0–3.0)"
    assert spread([]) == ""


def test_percentiles() -> None:
    """In milliseconds; none from a single value."""
    assert percentiles([i / 1000 for i in range(101)]) == pytest.approx((50, 99))
    assert percentiles([1.0]) == (None, None)


@pytest.mark.parametrize("slope", [0.0, 2.0, -1.0])
def test_the_slope_is_found(slope: float) -> None:
    """A known slope under noise lies within the interval, and a clear one excludes zero."""
    seconds = np.arange(0.0, 480.0, 2.0)
    noise = np.random.default_rng(3).normal(0, 0.5, len(seconds))
    found, low, high = slope_interval(seconds, 400 + slope * seconds / 60 + noise)
    assert low <= slope <= high
    assert low <= found <= high
    assert (low > 0 or high < 0) == (slope != 0)
