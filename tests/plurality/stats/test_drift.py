"""Tests of plurality/stats/drift.py."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from plurality.stats import UndefinedStatistic
from plurality.stats._validate import Array
from plurality.stats.drift import Reference, ks, ks_noise_floor, length_shift, psi, psi_noise_floor
from tests.plurality.stats.strategies import steady

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
DECILES = tuple(k / 10 for k in range(1, 10))
NORMAL = scipy.stats.norm()
samples = st.lists(
    st.one_of(st.integers(-4, 4).map(float), st.floats(-4, 4).map(lambda x: round(x, 3))), min_size=1, max_size=60
).map(np.array)
big_samples = st.tuples(st.integers(0, 99), st.integers(60, 400), st.floats(-1, 1), st.floats(0.2, 3)).map(
    lambda drawn: np.random.default_rng(drawn[0]).normal(drawn[2], drawn[3], drawn[1])
)


def normal(count: int = 10**9, levels: tuple[float, ...] = LEVELS) -> Reference:
    """The standard normal's quantiles, known from so large a sample."""
    return Reference(count, levels, tuple(float(NORMAL.ppf(level)) for level in levels))


def sampled(rows: Array, levels: tuple[float, ...] = LEVELS) -> Reference:
    """As export takes it from a reference set."""
    return Reference(len(rows), levels, tuple(np.quantile(rows, levels)))


def test_psi_in_closed_form() -> None:
    """Two bins of one half, three quarters of the values in one: 0.25 ln 3 with the smoothing worked out by hand."""
    median = Reference(10**9, (0.5,), (0.0,))
    values = np.array([-1.0] * 3000 + [1.0] * 1000)
    p = (3000 + 0.5) / 4001
    assert psi(values, median) == pytest.approx((p - 0.5) * np.log(p / 0.5) + (0.5 - p) * np.log((1 - p) / 0.5))
    assert psi(values, median) == pytest.approx(0.5 * 0.5 * np.log(3), rel=1e-3)


@steady
@given(big_samples)
def test_psi_is_the_sum_of_both_divergences(values: Array) -> None:
    """PSI = KL(p, q) + KL(q, p) of the smoothed shares, by scipy's entropy."""
    reference = normal(levels=DECILES)
    assume(len(values) >= 50)
    counts = np.histogram(values, [-np.inf, *reference.values, np.inf])[0]
    p, q = (counts + 0.5) / (len(values) + 5), np.full(10, 0.1)
    expected = scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p)
    assert psi(values, reference) == pytest.approx(float(expected), abs=1e-12)


@steady
@given(big_samples, st.floats(0.01, 100), st.floats(-10, 10), st.randoms(use_true_random=False))
def test_psi_and_ks_ignore_unit_and_order(values: Array, scale: float, shift: float, random: Any) -> None:
    """Another unit for values and reference alike, or another order, changes neither; both are >= 0."""
    reference = normal()
    moved = replace(reference, values=tuple(scale * value + shift for value in reference.values))
    order = list(range(len(values)))
    random.shuffle(order)
    for distance in (psi, ks):
        first = distance(values, reference)
        assert first >= 0
        assert distance(scale * values[order] + shift, moved) == pytest.approx(first, abs=0.02)


def test_psi_survives_ties_and_empty_bins() -> None:
    """A constant reference is no drift for the same constant, much for any other; an empty bin stays finite."""
    constant = Reference(1000, LEVELS, (2.0,) * 7)
    assert psi(np.full(500, 2.0), constant) == pytest.approx(0, abs=1e-12)
    assert psi(np.full(500, 2.1), constant) > 2
    assert np.isfinite(psi(np.full(500, 9.0), normal()))
    rows = np.random.default_rng(0).integers(0, 4, 4000).astype(float)  # four values only
    assert psi(rows[2000:], sampled(rows[:2000])) < 0.2


def test_psi_merges_bins_that_too_few_values_fill() -> None:
    """Up to 499 values the outermost one-percent bins are merged with their neighbors; below ten there is no PSI."""
    outer = np.concatenate([np.linspace(-1, 1, 396), np.full(4, -9.0)])  # 1 % beyond everything
    hidden = np.concatenate([np.linspace(-1, 1, 396), np.full(4, -1.7)])  # the same in the bin beside it
    assert psi(outer, normal()) == psi(hidden, normal())
    assert psi(np.repeat(outer, 2), normal()) != psi(np.repeat(hidden, 2), normal())
    for count, reference in ((9, normal()), (1000, normal(count=9))):
        with pytest.raises(UndefinedStatistic, match="do not fill two bins"):
            psi(np.zeros(count), reference)
        with pytest.raises(UndefinedStatistic):
            psi_noise_floor(count, reference)


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.05, 0.5])
@pytest.mark.parametrize(("levels", "freedom"), [((0.5,), 1), (LEVELS, 7), (DECILES, 9)])
def test_psi_noise_floor_is_the_chi_square_quantile(levels: tuple[float, ...], freedom: int, alpha: float) -> None:
    """scipy's χ² quantile times (1/n + 1/m), to 4 %."""
    expected = scipy.stats.chi2.ppf(1 - alpha, freedom) * (1 / 2000 + 1 / 3000)
    assert psi_noise_floor(2000, normal(3000, levels), alpha=alpha) == pytest.approx(float(expected), rel=0.04)


@pytest.mark.parametrize(("count", "reference_count"), [(100, 300), (200, 4000), (2048, 2000)])
def test_false_alarms_without_drift(count: int, reference_count: int) -> None:
    """Both samples of one law: PSI exceeds its floor about as often as stated, KS never more often."""
    random = np.random.default_rng(7)
    alarms = np.zeros(2)
    for _ in range(1000):
        reference = sampled(random.normal(size=reference_count))
        values = random.normal(size=count)
        alarms += (
            psi(values, reference) > psi_noise_floor(count, reference, alpha=0.05),
            ks(values, reference) > ks_noise_floor(count, reference, alpha=0.05),
        )
    assert 15 <= alarms[0] <= 80  # of 50 expected; a χ² law of small counts
    assert alarms[1] <= 50 + 3 * 7


@pytest.mark.parametrize("distance", [(psi, psi_noise_floor), (ks, ks_noise_floor)])
def test_a_real_drift_is_found(distance: tuple[Callable[..., float], Callable[..., float]]) -> None:
    """Half a standard deviation, seen in 2048 values against 2000: far above the floor."""
    random = np.random.default_rng(1)
    reference = sampled(random.normal(size=2000))
    measure, floor = distance
    assert measure(random.normal(0.5, 1, 2048), reference) > 1.5 * floor(2048, reference)
    assert measure(random.normal(0.0, 1, 2048), reference) < floor(2048, reference)


@steady
@given(samples)
def test_ks_never_exceeds_scipy_s(values: Array) -> None:
    """The least distance that the quantiles allow is no more than the distance to the whole distribution."""
    assert ks(values, normal()) <= scipy.stats.kstest(values, NORMAL.cdf).statistic + 1e-12


@steady
@given(samples)
def test_ks_with_many_quantiles_is_scipy_s(values: Array) -> None:
    """With a thousand quantiles it comes within one thousandth of scipy's one-sample distance."""
    dense = normal(levels=tuple(k / 1000 for k in range(1, 1000)))
    assert ks(values, dense) == pytest.approx(scipy.stats.kstest(values, NORMAL.cdf).statistic, abs=2.1e-3)


@steady
@given(samples, samples)
def test_ks_bounds_the_two_sample_distance_with_ties(values: Array, rows: Array) -> None:
    """Never more than scipy's two-sample distance but for 1/m, since quantiles may lie between two values."""
    whole = scipy.stats.ks_2samp(values, rows, method="asymp").statistic
    assert ks(values, sampled(rows)) <= whole + 1 / len(rows) + 1e-12


@steady
@given(samples)
def test_ks_of_a_sample_with_itself(values: Array) -> None:
    """A sample is no further from its own quantiles than their definition's 1/m."""
    assert ks(values, sampled(values)) <= 1 / len(values) + 1e-12


def test_ks_in_closed_form() -> None:
    """All values on one side: 1 less the outermost level."""
    assert ks(np.full(10, 99.0), normal()) == pytest.approx(0.99)
    assert ks(np.full(10, -99.0), normal()) == pytest.approx(0.99)
    assert ks_noise_floor(100, normal(), alpha=0.05) == pytest.approx(np.sqrt(np.log(80) / 200), rel=1e-3)


@steady
@given(
    st.integers(0, 1000), st.integers(2, 40), st.integers(2, 40), st.floats(-2, 2), st.floats(-2, 2), st.floats(-50, 50)
)
def test_length_shift_is_least_squares(seed: int, n: int, m: int, slope: float, rise: float, longer: float) -> None:
    """The slope is that of least squares with an intercept a window; by_length and the rest add up to the rise."""
    random = np.random.default_rng(seed)
    before, now = random.normal(100, 10, n), random.normal(100 + longer, 10, m)
    r0, r1 = slope * before + random.normal(size=n), slope * now + rise + random.normal(size=m)
    shift = length_shift(r0, before, r1, now)
    design = np.stack([np.r_[before, now], np.r_[np.ones(n), np.zeros(m)], np.r_[np.zeros(n), np.ones(m)]], axis=1)
    (b, a0, a1), *_ = np.linalg.lstsq(design, np.r_[r0, r1], rcond=None)
    assert shift.slope == pytest.approx(b, abs=1e-8)
    assert shift.reward - shift.by_length == pytest.approx(a1 - a0, abs=1e-6)
    assert shift.length == pytest.approx(now.mean() - before.mean())


def test_length_shift_tells_three_stories_apart() -> None:
    """Longer and paid for it; better at the same length; a length bias that stands still."""
    random = np.random.default_rng(3)
    before, same, longer = random.normal(100, 20, 500), random.normal(100, 20, 500), random.normal(200, 20, 500)
    paid = length_shift(0.01 * before, before, 0.01 * longer, longer)
    assert paid.by_length == pytest.approx(paid.reward)
    better = length_shift(0.01 * before, before, 0.01 * same + 1, same)
    assert (better.reward > 0.9, abs(better.by_length) < 0.05) == (True, True)
    still = length_shift(0.01 * before, before, 0.01 * same, same)
    assert abs(still.reward) < 0.05


def test_bad_input_is_refused() -> None:
    """Errors say what is wrong; nothing is guessed."""
    for broken in (
        {"count": 0}, {"levels": (0.0, *LEVELS[1:])}, {"levels": (*LEVELS[:-1], 1.0)}, {"levels": LEVELS[::-1]},
        {"values": (0.0,) * 6}, {"values": (np.nan,) * 7}, {"values": tuple(range(7, 0, -1))},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"count|levels|length mismatch|NaN|quantiles"):
            replace(normal(), **broken)
    for empty in ([], [np.nan], [[1.0]]):
        with pytest.raises(ValueError, match=r"empty|NaN|vector"):
            psi(empty, normal())
        with pytest.raises(ValueError, match=r"empty|NaN|vector"):
            ks(empty, normal())
    for floor in (psi_noise_floor, ks_noise_floor):
        with pytest.raises(ValueError, match="at least 1"):
            floor(0, normal())
        for alpha in (0.0, 1.0, np.nan):
            with pytest.raises(ValueError, match="alpha"):
                floor(1000, normal(), alpha=alpha)
    with pytest.raises(UndefinedStatistic, match="constant"):
        length_shift([1, 2], [5, 5], [1], [6])
    with pytest.raises(ValueError, match="mismatch"):
        length_shift([1, 2], [5], [1], [6])


def test_quantiles_of_a_manifest() -> None:
    """By their names, in any order."""
    reference = Reference.of({"0.5": 0.0, "0.25": -1.0, "0.75": 1.0}, count=30)
    assert reference == Reference(30, (0.25, 0.5, 0.75), (-1.0, 0.0, 1.0))
