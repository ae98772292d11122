"""Tests of service/drift/drift_metrics.py."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle.calibrate import Calibrator
from service.bundle.manifest import RewardStatistics
from service.drift.drift_metrics import DRIFT_METRICS, ReferenceStats, read
from service.drift.window import Row, WindowSnapshot
from service.settings.groups import WatchSettings
from tests.fakes import manifest

WATCH = WatchSettings(size=256, min_items=50)
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
REFERENCE = np.random.default_rng(0).normal(size=1000)
steady = settings(max_examples=60)


def reference_stats(rewards: "np.ndarray[tuple[int], np.dtype[np.float64]]" = REFERENCE) -> ReferenceStats:
    statistics = RewardStatistics(
        count=len(rewards),
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        quantiles={f"{q:g}": float(np.quantile(rewards, q)) for q in LEVELS},
    )
    return ReferenceStats.of(manifest().model_copy(update={"reward_statistics": statistics}))


def rows(count: int, *, seed: int = 1, length: float = 100.0, worth: float = 0.0) -> tuple[Row, ...]:
    random = np.random.default_rng(seed)
    lengths = random.normal(length, 20, count)
    rewards = random.normal(size=count) + worth * (lengths - 100)
    return tuple(zip(rewards.tolist(), lengths.tolist(), [0] * count, strict=True))


def view(now: tuple[Row, ...], *, first: tuple[Row, ...] = (), spreads: tuple[float, ...] = ()) -> WindowSnapshot:
    return WindowSnapshot(now, first, len(now) if first else 0, spreads, len(now), len(spreads), 0)


def test_all_readings_of_a_full_window() -> None:
    """Each is what numpy and scipy say; none is left out and none is unknown."""
    now = tuple((reward, length, place % 4) for place, (reward, length, _) in enumerate(rows(256, worth=0.05)))
    first = rows(256, seed=2, length=80, worth=0.05)
    found = read(view(now, first=first, spreads=(0.5,) * 30), reference_stats(), WATCH)
    assert found.keys() == DRIFT_METRICS.keys()
    rewards, lengths, _ = np.array(now).T
    assert found["watch_items"] == 256
    assert found["truncated_ratio"] == 0.75
    assert found["response_length_tokens"] == pytest.approx(lengths.mean())
    assert found["response_length_ratio"] == pytest.approx(lengths.mean() / np.mean([row[1] for row in first]))
    assert found["reward_length_correlation"] == pytest.approx(scipy.stats.spearmanr(rewards, lengths).statistic)
    assert found["group_spread"] == pytest.approx(0.5 / REFERENCE.std())
    assert found["reward_shift_by_length"] == pytest.approx(1.0, abs=0.25)
    low, high = np.quantile(REFERENCE, [0.01, 0.99])
    assert found["score_outside_ratio"] == np.mean((rewards < low) | (rewards > high))


def test_a_short_window_has_no_readings() -> None:
    """Below min_items nothing is said; the trend waits for as many after the first window, the spread for groups."""
    assert read(view(rows(49)), reference_stats(), WATCH) == {}
    alone = read(view(rows(50), spreads=(1.0,) * 19), reference_stats(), WATCH)
    assert alone.keys() == DRIFT_METRICS.keys() - {
        "response_length_ratio", "reward_shift", "reward_shift_by_length", "group_spread",
    }  # fmt: skip
    waiting = WindowSnapshot(rows(256), rows(256), 49, (), 305, 0, 0)
    assert "reward_shift" not in read(waiting, reference_stats(), WATCH)


def test_what_is_undefined_has_no_series() -> None:
    """One length for all, a reference without spread, too small a reference, quantiles that fall: no made-up number."""
    same = tuple((float(place % 3), 7.0, 0) for place in range(100))
    found = read(view(same, first=same), reference_stats(), WATCH)
    assert "reward_length_correlation" not in found
    assert "reward_shift_by_length" not in found
    assert found["response_length_ratio"] == 1.0
    flat = read(view(same, first=same, spreads=(1.0,) * 30), reference_stats(np.zeros(100)), WATCH)
    assert not {"reward_shift", "group_spread"} & flat.keys()
    assert "score_psi" not in read(view(same), reference_stats(np.array([1.0, 2.0])), WATCH)
    empty = tuple((reward, 0.0, 0) for reward, _, _ in same)
    assert "response_length_ratio" not in read(view(same, first=empty), reference_stats(), WATCH)
    broken = RewardStatistics(count=9, mean=0.0, std=1.0, quantiles={"0.5": 0.0, "0.75": -1.0})
    odd = ReferenceStats.of(manifest().model_copy(update={"reward_statistics": broken}))
    assert odd.reference is None
    assert not {"score_psi", "score_ks", "score_outside_ratio"} & read(view(same), odd, WATCH).keys()


@steady
@given(
    st.lists(st.floats(-30, 30), min_size=50, max_size=80),
    st.sampled_from(
        [Calibrator(), Calibrator(0.5), Calibrator(2.0, 1.5), Calibrator(knots=((1.0, 0.7), (4.0, 0.995)))]
    ),
)
def test_saturation_counts_both_ends(rewards: list[float], calibrator: Calibrator) -> None:
    """The share of rewards with P below 0.01 or above 0.99, counted one by one."""
    measure = ReferenceStats(None, 1.0, 0.5, calibrator)
    window = tuple((reward, 1.0, 0) for reward in rewards)
    expected = sum(not 0.01 <= calibrator.probability(reward - 0.5) <= 0.99 for reward in rewards) / len(rewards)
    assert read(view(window), measure, WATCH)["score_saturation_ratio"] == pytest.approx(expected)


@steady
@given(
    st.lists(st.tuples(st.floats(-1e30, 1e30), st.floats(0, 1e6), st.integers(0, 9)), min_size=50, max_size=70),
    st.lists(st.tuples(st.floats(-1e30, 1e30), st.floats(0, 1e6), st.integers(0, 9)), min_size=1, max_size=70),
)
def test_readings_are_always_finite(now: list[Row], first: list[Row]) -> None:
    """Whatever finite rewards a model gives, no figure is NaN or infinite."""
    found = read(view(tuple(now), first=tuple(first), spreads=(1.0,) * 20), reference_stats(), WATCH)
    assert all(math.isfinite(value) for value in found.values()), found
