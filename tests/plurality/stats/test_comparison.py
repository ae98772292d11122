"""Tests of plurality/stats/comparison.py."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.stats import Interval, UndefinedStatistic, cluster_bootstrap, paired_cluster_bootstrap, pearson
from plurality.stats._validate import Array
from plurality.stats.comparison import Rows, Statistic
from tests.plurality.stats.strategies import steady


def mean_of(values: Array) -> Statistic:
    """The mean of these rows' values."""
    return lambda rows: float(values[rows].mean())


def _clustered(prompts: int, size: int, seed: int) -> tuple[Array, list[int]]:
    """Rows that share all of their deviation with their prompt."""
    shared = np.random.default_rng(seed).normal(size=prompts)
    return np.repeat(shared, size), np.repeat(np.arange(prompts), size).tolist()


def test_whole_clusters_are_drawn() -> None:
    """Every draw holds as many clusters as there are, each with all of its rows."""
    clusters = ["x", "y", "x", "z", "y", "x"]
    sizes = {"x": 3, "y": 2, "z": 1}
    seen: list[list[int]] = []

    def record(rows: Rows) -> float:
        seen.append(np.bincount(rows, minlength=6).tolist())
        return 0.0

    cluster_bootstrap(record, clusters, draws=40)
    assert seen[0] == [1] * 6
    for times in seen:
        assert times[0] == times[2] == times[5]
        assert times[1] == times[4]
        assert sum(t / sizes[c] for t, c in zip(times, clusters, strict=True)) == pytest.approx(3)
    assert len({tuple(times) for times in seen}) > 3


def test_clusters_widen_the_interval() -> None:
    """Ten copies of a row are one observation: by cluster the interval is that of the prompts, by row too narrow."""
    values, clusters = _clustered(prompts=50, size=10, seed=0)
    by_cluster = cluster_bootstrap(mean_of(values), clusters)
    by_row = cluster_bootstrap(mean_of(values), range(500))
    ratio = (by_cluster.high - by_cluster.low) / (by_row.high - by_row.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    expected = 2 * 1.96 * values.std() / np.sqrt(50)
    assert by_cluster.high - by_cluster.low == pytest.approx(expected, rel=0.1)


def test_the_interval_covers() -> None:
    """Of 90 % intervals over 40 clusters 88 % hold the true mean: percentile intervals are a little short."""
    covered = []
    for seed in range(200):
        values, clusters = _clustered(prompts=40, size=2, seed=seed)
        found = cluster_bootstrap(mean_of(values), clusters, draws=200, seed=1000 + seed, level=0.9)
        covered.append(found.low <= 0 <= found.high)
    assert np.mean(covered) == pytest.approx(0.88, abs=0.06)


def test_level_seed_and_estimate() -> None:
    """A higher level is wider, a seed repeats, the estimate is of the rows as they are."""
    values, clusters = _clustered(prompts=30, size=3, seed=3)
    narrow, wide = (cluster_bootstrap(mean_of(values), clusters, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high
    assert narrow.estimate == pytest.approx(values.mean())
    assert narrow.p_value is None
    assert wide == cluster_bootstrap(mean_of(values), clusters, level=0.99, seed=0)
    assert wide != cluster_bootstrap(mean_of(values), clusters, level=0.99, seed=1)


@steady
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=20))
def test_antisymmetry(rows: list[tuple[int, int, int]]) -> None:
    """Exchanging the models turns the interval round and keeps the p-value."""
    clusters = [*(row[0] for row in rows), 5, 6]
    a, b = (np.array([*(row[i] for row in rows), 1, 0], dtype=np.float64) for i in (1, 2))
    there = paired_cluster_bootstrap(mean_of(a), mean_of(b), clusters, draws=30)
    back = paired_cluster_bootstrap(mean_of(b), mean_of(a), clusters, draws=30)
    mirrored = [-back.estimate, -back.high, -back.low]
    assert [there.estimate, there.low, there.high] == pytest.approx(mirrored, abs=1e-12)
    assert there.p_value == back.p_value


def test_what_both_models_share_cancels() -> None:
    """Both see the same resample: a constant advantage has an interval of no width, and a p-value of 0."""
    values, clusters = _clustered(prompts=20, size=2, seed=4)
    found = paired_cluster_bootstrap(mean_of(values + 0.25), mean_of(values), clusters, draws=100)
    assert [found.estimate, found.low, found.high] == pytest.approx([0.25] * 3)
    assert found.p_value == 0


def test_equal_models_do_not_differ() -> None:
    """A model against itself: difference 0, p-value 1."""
    values, clusters = _clustered(prompts=20, size=2, seed=5)
    found = paired_cluster_bootstrap(mean_of(values), mean_of(values), clusters, draws=50)
    assert found == Interval(0.0, 0.0, 0.0, 1.0)


def test_the_p_value_is_level() -> None:
    """Between models that differ by noise alone, about a tenth of the p-values are below a tenth."""
    rng = np.random.default_rng(6)
    below = []
    for seed in range(100):
        a, b = rng.normal(size=(2, 40))
        found = paired_cluster_bootstrap(mean_of(a), mean_of(b), range(40), draws=200, seed=seed)
        assert found.p_value is not None
        below.append(found.p_value < 0.1)
    assert np.mean(below) == pytest.approx(0.1, abs=0.07)


def test_undefined_draws_are_left_out() -> None:
    """A rare resample without a correlation is skipped; the interval is of the others."""
    a = np.array([0.0, 1.0, 0.4, 0.7, 0.2])
    b = np.array([0.1, 0.9, 0.5, 0.3, 0.2])
    found = cluster_bootstrap(lambda rows: pearson(a[rows], b[rows]), range(5), draws=3000)
    assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_too_many_undefined_draws_are_an_error() -> None:
    """With two rows half of the draws are constant: no interval."""
    pair = np.array([0.0, 1.0])
    with pytest.raises(UndefinedStatistic, match=r"undefined in \d+ of 100 draws"):
        cluster_bootstrap(lambda rows: pearson(pair[rows], pair[rows]), range(2), draws=100)


def test_undefined_on_all_rows_is_an_error() -> None:
    """What has no value on the rows themselves has no interval."""
    with pytest.raises(UndefinedStatistic, match="first is constant"):
        cluster_bootstrap(lambda rows: pearson(np.ones(len(rows)), rows), range(4))


def test_a_single_cluster_has_no_interval() -> None:
    """One prompt resampled is itself: an interval of no width would lie."""
    with pytest.raises(UndefinedStatistic, match="a single cluster"):
        cluster_bootstrap(mean_of(np.arange(3.0)), ["x"] * 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_statistic_without_a_value_must_say_so(value: float) -> None:
    """NaN or infinity from the statistic is refused, not passed on."""
    with pytest.raises(ValueError, match=f"the statistic is {value}"):
        cluster_bootstrap(lambda _: value, range(3))


@pytest.mark.parametrize(
    ("clusters", "options", "cause"),
    [
        ([], {}, "empty"),
        ([1, 2], {"draws": 0}, "draws must be at least 1"),
        ([1, 2], {"level": 1.0}, "level 1.0 is not in"),
        ([1, 2], {"level": 0.0}, "level 0.0 is not in"),
        ([1, 2], {"level": float("nan")}, "level nan is not in"),
    ],
)
def test_bad_options_are_refused(clusters: list[int], options: dict[str, Any], cause: str) -> None:
    """Empty input, no draws and impossible levels name themselves."""
    statistic = mean_of(np.arange(2.0))
    with pytest.raises(ValueError, match=cause):
        cluster_bootstrap(statistic, clusters, **options)
    with pytest.raises(ValueError, match=cause):
        paired_cluster_bootstrap(statistic, statistic, clusters, **options)
