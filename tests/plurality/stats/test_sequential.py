"""Tests of plurality/stats/sequential.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from plurality.stats import cluster_means, log_capital, sequential_mean
from plurality.stats._validate import Array
from plurality.stats.sequential import STAKES, _lower
from tests.plurality.stats.strategies import steady

Flags = NDArray[np.bool_]
ALPHA = 0.05
EXPERIMENTS, VOTES = 2000, 2000
SLACK = 3 * math.sqrt(ALPHA * (1 - ALPHA) / EXPERIMENTS)
"""Three standard deviations of a share of α among the experiments."""

differences = st.lists(
    st.one_of(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), st.floats(-1, 1)), min_size=1, max_size=60
)


def verdicts(rng: np.random.Generator, shape: tuple[int, ...], *, differ: float, gain: float = 0.0) -> Array:
    """Differences of accuracy: ±1 on the share `differ` of the votes where the versions differ, `gain` on average."""
    u = rng.random(shape)
    return np.where(u < (differ + gain) / 2, 1.0, np.where(u < differ, -1.0, 0.0))


def p_values(values: ArrayLike) -> Array:
    """Two-sided p-values of "every mean is zero" after each value, as `sequential_mean` has them at the end."""
    x = np.asarray(values, dtype=np.float64)
    larger = np.maximum(log_capital(x), log_capital(-x))
    found: Array = np.minimum(1.0, 2.0 * np.exp(-np.maximum.accumulate(larger, axis=-1)))
    return found


def confidence_sequence(values: ArrayLike, *, alpha: float) -> tuple[Array, Array]:
    """The interval of `sequential_mean` after each value, of many rows at once."""
    x = np.asarray(values, dtype=np.float64)
    steps = np.arange(1, x.shape[-1] + 1)
    low, high = (
        _lower(np.cumsum(np.log1p(side[..., None] * STAKES), axis=-2), steps, math.log(2 / alpha)) for side in (x, -x)
    )
    return low, -high


def ever(significant: Flags) -> float:
    """Share of experiments [S, T] that are significant at any of their looks."""
    return float(significant.any(axis=-1).mean())


def fixed_interval_excludes_zero(x: Array) -> Flags:
    """What a textbook 95% interval says, mean ± 1.96 standard errors, looked at from the 30th vote on."""
    steps = np.arange(1, x.shape[-1] + 1)
    mean = np.cumsum(x, axis=-1) / steps
    variance = np.cumsum(x**2, axis=-1) / steps - mean**2
    excludes: Flags = np.abs(mean) > 1.96 * np.sqrt(variance / steps)
    return excludes[..., 29:]


@pytest.mark.parametrize("differ", [0.05, 0.3])
def test_false_alarms_under_constant_peeking(differ: float) -> None:
    """2,000 A/A experiments looked at after every vote: alarms in at most α + 3σ of them.

    A fixed-n interval, peeked at in the same way on the same votes, alarms several times as often.
    """
    x = verdicts(np.random.default_rng(1), (EXPERIMENTS, VOTES), differ=differ)
    assert ever(p_values(x) <= ALPHA) <= ALPHA + SLACK
    assert ever(fixed_interval_excludes_zero(x)) > 4 * (ALPHA + SLACK)


def test_false_alarms_with_clustered_votes() -> None:
    """Ten votes a prompt that lean one way: a value a prompt keeps α, a value a vote does not."""
    rng = np.random.default_rng(2)
    prompts, each = 200, 10
    differ = verdicts(rng, (EXPERIMENTS, prompts, 1), differ=0.3)
    agree = rng.random((EXPERIMENTS, prompts, each)) < 0.85
    votes = differ * np.where(agree, 1.0, -1.0)
    assert ever(p_values(votes.mean(axis=-1)) <= ALPHA) <= ALPHA + SLACK
    assert ever(p_values(votes[:, :, 0]) <= ALPHA) <= ALPHA + SLACK
    assert ever(p_values(votes.reshape(EXPERIMENTS, -1)) <= ALPHA) > 4 * (ALPHA + SLACK)


@pytest.mark.parametrize("gain", [0.03, -0.2])
def test_covers_at_all_times(gain: float) -> None:
    """The share of experiments in which any of 300 intervals misses the mean is at most α + 3σ."""
    rng = np.random.default_rng(3)
    missed = []
    for _ in range(EXPERIMENTS // 100):
        x = verdicts(rng, (100, 300), differ=0.3, gain=gain)
        low, high = confidence_sequence(x, alpha=ALPHA)
        missed.append(((low > gain) | (high < gain)).any(axis=-1))
    assert float(np.mean(missed)) <= ALPHA + SLACK


def test_covers_a_mean_that_moves() -> None:
    """The better version changes half way: what is covered is the mean so far."""
    rng = np.random.default_rng(4)
    gains = np.repeat([0.3, -0.3], 300)
    so_far = np.cumsum(gains) / np.arange(1, 601)
    x = np.where(rng.random((500, 600)) < (1 + gains) / 2, 1.0, -1.0)
    low, high = confidence_sequence(x, alpha=ALPHA)
    assert ever((low > so_far) | (high < so_far)) <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 500)
    assert (low[:, 299] > 0).mean() > 0.9
    assert (low[:, -1] < 0).all()


def test_a_real_difference_is_found_in_the_stated_number_of_votes() -> None:
    """+3 points, versions that differ on a fifth of the votes: docs/results/sequential.md states 1,900 and 4,200."""
    x = verdicts(np.random.default_rng(5), (1000, 6000), differ=0.2, gain=0.03)
    found = log_capital(x) >= math.log(2 / ALPHA)
    needed = np.where(found.any(axis=-1), found.argmax(axis=-1) + 1, 6001)
    assert np.median(needed) == pytest.approx(1900, rel=0.1)
    assert np.quantile(needed, 0.9) == pytest.approx(4200, rel=0.1)


@steady
@given(differences, st.sampled_from([0.01, 0.05, 0.3]), st.sampled_from([0.25, 1.0, 4.6]))
def test_the_bound_solves_its_equation(values: list[float], alpha: float, reach: float) -> None:
    """At the lower bound the capital, bet against that mean, is 2/α; nothing is lost to Newton's method."""
    x = reach * np.array(values)
    found = sequential_mean(x, alpha=alpha, reach=reach)
    assert -reach <= found.low <= found.high <= reach
    for side, bound in ((x, found.low), (-x, -found.high)):
        weights = np.exp([log_weight(k) for k in range(len(STAKES))])
        products = np.array([np.prod(1 + stake * side / reach) for stake in STAKES])
        capital = float(np.sum(weights * products * np.exp(-STAKES * len(x) * bound / reach)))
        if bound > -reach:
            assert capital == pytest.approx(2 / alpha, rel=1e-6)
        else:
            assert capital <= 2 / alpha * (1 + 1e-9)


def log_weight(k: int) -> float:
    """Six equal weights, then halves."""
    return math.log(min(1.0, 0.5 ** (k - 5)) / (6 + sum(0.5**n for n in range(1, 11))))


@steady
@given(differences)
def test_the_last_of_the_sequence_is_the_mean(values: list[float]) -> None:
    """`sequential_mean` is what the sequences say at their end."""
    x = np.array(values)
    found = sequential_mean(x, alpha=0.1)
    low, high = confidence_sequence(x, alpha=0.1)
    assert [found.low, found.high] == pytest.approx([low[-1], high[-1]], abs=1e-12)
    assert found.p_value == pytest.approx(p_values(x)[-1], rel=1e-12)
    assert found.estimate == pytest.approx(np.mean(values))
    assert found.count == len(values)


@steady
@given(differences)
def test_interval_and_p_value_agree(values: list[float]) -> None:
    """The p-value is at most α from the first interval on that excludes zero, and never rises."""
    low, high = confidence_sequence(values, alpha=0.5)
    p = p_values(values)
    excluded = np.maximum.accumulate((low > 1e-9) | (high < -1e-9))
    assert (p[excluded] <= 0.5).all()
    assert (np.diff(p) <= 0).all()


@steady
@given(differences, st.floats(0.1, 10))
def test_sign_and_unit(values: list[float], unit: float) -> None:
    """Exchanging the versions mirrors the interval; the unit of the values is that of the interval."""
    x = np.array(values)
    there, back = sequential_mean(x, alpha=0.1), sequential_mean(-x, alpha=0.1)
    assert [there.low, there.high] == pytest.approx([-back.high, -back.low], abs=1e-12)
    assert [there.e_value, there.p_value] == pytest.approx([back.e_value, back.p_value])
    scaled = sequential_mean(unit * x, alpha=0.1, reach=unit * 1.000000001)
    assert [scaled.low, scaled.high] == pytest.approx([unit * there.low, unit * there.high], rel=1e-6, abs=1e-6)


def test_narrower_with_more_and_with_less_doubt() -> None:
    """More votes or a larger α: a narrower interval; fewer disagreements too."""
    x = verdicts(np.random.default_rng(6), (4000,), differ=0.3)
    widths = [
        found.high - found.low
        for found in (
            sequential_mean(x[:500], alpha=0.05),
            sequential_mean(x, alpha=0.01),
            sequential_mean(x, alpha=0.05),
            sequential_mean(np.concatenate([x[:1000], np.zeros(3000)]), alpha=0.05),
        )
    ]
    assert widths == sorted(widths, reverse=True)


def test_e_values_are_one_on_average() -> None:
    """Between equal versions the expected capital after any number of votes is 1, exactly: here over all 2^8 runs."""
    runs = 2.0 * ((np.arange(256)[:, None] >> np.arange(8)) & 1) - 1
    assert np.exp(log_capital(runs)).mean(axis=0) == pytest.approx(1)
    assert np.mean([sequential_mean(run, alpha=0.1).e_value for run in runs]) == pytest.approx(1)


def test_certainty_stays_finite() -> None:
    """Ten thousand votes that all say the same: an e-value of the largest size, a p-value of 0, and a close bound."""
    found = sequential_mean(np.ones(10_000), alpha=ALPHA)
    assert found.low > 0.7
    assert found.high == 1
    assert math.isfinite(found.e_value)
    assert found.p_value < 1e-300


@pytest.mark.parametrize(
    ("values", "reach", "cause"),
    [
        ([], 1.0, "empty: values"),
        (0.5, 1.0, "empty: values"),
        ([0.1, float("nan")], 1.0, "NaN or infinity"),
        ([0.1, -1.5], 1.0, "beyond the reach of 1.0: 1.5"),
        ([0.1], 0.0, "reach 0.0 is not positive"),
        ([0.1], float("inf"), "reach inf is not positive"),
        ([0.1], float("nan"), "reach nan is not positive"),
    ],
)
def test_bad_values_are_refused(values: object, reach: float, cause: str) -> None:
    """Each error names its cause."""
    x = np.array(values, dtype=np.float64)
    with pytest.raises(ValueError, match=cause):
        log_capital(x, reach=reach)
    if x.ndim:
        with pytest.raises(ValueError, match=cause):
            sequential_mean(x, alpha=0.1, reach=reach)


@pytest.mark.parametrize("alpha", [0.0, 1.0, float("nan")])
def test_impossible_alphas_are_refused(alpha: float) -> None:
    """An alpha outside (0, 1) is an error."""
    with pytest.raises(ValueError, match="is not in"):
        sequential_mean([0.5], alpha=alpha)


def test_one_row_at_a_time() -> None:
    """A single mean is of a vector."""
    with pytest.raises(ValueError, match=r"a vector is needed, not \[1, 2\]"):
        sequential_mean([[0.5, 0.5]], alpha=0.1)


@steady
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-1, 1)), min_size=2, max_size=40), st.integers(1, 3))
def test_later_values_only_append(rows: list[tuple[int, float]], size: int) -> None:
    """No cluster is counted twice or changes after it was counted: the means of a prefix are a prefix."""
    clusters, values = [row[0] for row in rows], [row[1] for row in rows]
    found = cluster_means(values, clusters, size=size).tolist()
    for end in range(1, len(rows)):
        before = cluster_means(values[:end], clusters[:end], size=size).tolist()
        assert found[: len(before)] == before
    assert len(found) == sum(clusters.count(cluster) >= size for cluster in set(clusters))


@given(st.floats(-5, 5), st.integers(1, 60))
def test_a_mean_stays_within_its_values(value: float, size: int) -> None:
    """Rounding never carries the mean of equal values beyond them, and so beyond the reach."""
    assert cluster_means([value] * size, [0] * size, size=size).tolist() == [value]


def test_cluster_means() -> None:
    """The first two of each cluster, in the order in which clusters are filled; a third and a lone one are left out."""
    values, clusters = [1.0, 0.0, 0.5, -1.0, 9.0, 7.0], ["a", "b", "b", "a", "a", "c"]
    assert cluster_means(values, clusters, size=2).tolist() == [0.25, 0.0]
    assert cluster_means(values, clusters).tolist() == [1.0, 0.0, 7.0]


def test_bad_clusters_are_refused() -> None:
    """A cluster for each value, and at least one value a cluster."""
    with pytest.raises(ValueError, match="length mismatch"):
        cluster_means([1.0], ["a", "b"])
    with pytest.raises(ValueError, match="size must be at least 1"):
        cluster_means([1.0], ["a"], size=0)
