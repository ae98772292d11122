"""Tests of plurality/stats/calibration.py."""

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.stats import brier, ece, ece_noise_floor, l1, nll, reliability_curve
from plurality.stats._validate import Array
from plurality.stats.calibration import Convention
from tests.plurality.stats.strategies import dyadic, pairs, steady, votes

conventions = st.sampled_from(get_args(Convention))
counts = st.integers(1, 12)


def _population(size: int, seed: int = 0) -> tuple[Array, Array]:
    """Predictions of a perfectly calibrated model, and what people then voted."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2.0, 2.0, size)
    return p, (rng.random(size) < p).astype(np.float64)


def _two_sided_by_hand(p: Array, y: Array, bins: int) -> float:
    """The loop of the paper's code: both orders, uniform bins on [0, 1]."""
    total = 0.0
    both, label = np.concatenate([p, 1 - p]), np.concatenate([y, 1 - y])
    for m in range(bins):
        inside = (both > m / bins) & (both <= (m + 1) / bins)
        total += abs(float(both[inside].sum() - label[inside].sum()))
    return total / len(both)


@steady
@given(pairs(), counts)
def test_two_sided_is_confidence_with_half_the_bins(rows: tuple[Array, Array], half: int) -> None:
    """With an even M the two-sided error equals the confidence error with M/2 bins, also on the edges."""
    two_sided = ece(*rows, bins=2 * half, convention="two-sided")
    confidence = ece(*rows, bins=half, convention="confidence")
    assert two_sided == pytest.approx(confidence, abs=1e-12)


@pytest.mark.parametrize("bins", [5, 10, 20])
def test_two_sided_is_the_paper_s_sum(bins: int) -> None:
    """Off the edges the two-sided ECE is Σ_b |Σp − Σy| / N over both orders."""
    p, y = _population(3000)
    assert ece(0.8 * p, y, bins=bins) == pytest.approx(_two_sided_by_hand(0.8 * p, y, bins), abs=1e-12)


def test_by_hand() -> None:
    """Three pairs in two bins: 0.9 and 0.8 observed at 1/2, and 0.6 (written as 0.4) observed at 0."""
    p, y = [0.9, 0.8, 0.4], [1, 0, 1]
    curve = reliability_curve(p, y, bins=2, convention="confidence")
    assert curve.predicted == pytest.approx([0.6, 0.85])
    assert curve.observed == pytest.approx([0.0, 0.5])
    assert curve.count.tolist() == [1, 2]
    assert ece(p, y, bins=2, convention="confidence") == pytest.approx((0.6 + 2 * 0.35) / 3)


def test_edges_are_closed_above() -> None:
    """0.7 belongs to (0.6, 0.7] and 0.3, its other order, to the mirrored bin, in spite of rounding."""
    curve = reliability_curve([0.7, 0.7000001], [1, 1], bins=10)
    assert curve.count.tolist() == [1, 1, 1, 1]
    assert curve.predicted == pytest.approx([0.2999999, 0.3, 0.7, 0.7000001])


@pytest.mark.parametrize("bins", [1, 2, 5, 10, 20, 25, 49, 50, 100])
def test_every_vote_share_lies_below_its_edge(bins: int) -> None:
    """Shares k/2M, the edges themselves, fill M bins one each, and 1/2 joins the lowest."""
    shares = np.arange(bins, 2 * bins + 1) / (2 * bins)
    curve = reliability_curve(shares, np.ones(bins + 1), bins=bins, convention="confidence")
    assert curve.count.tolist() == [2] + [1] * (bins - 1)


@pytest.mark.parametrize("convention", get_args(Convention))
def test_even_odds_are_never_wrong(convention: Convention) -> None:
    """At P = 1/2 either order is as good, so a vote on one side is no error in the curve."""
    for label in (0.0, 0.3, 1.0):
        assert ece([0.5, 0.5], [label, label], convention=convention) == 0


@steady
@given(pairs(dyadic), counts, conventions)
def test_the_order_within_a_pair_does_not_matter(rows: tuple[Array, Array], bins: int, convention: Convention) -> None:
    """Writing (b, a) for (a, b) in any of the pairs leaves the error as it is."""
    p, y = rows
    swap = np.random.default_rng(0).random(len(p)) < 0.5
    swapped = np.where(swap, 1 - p, p), np.where(swap, 1 - y, y)
    options: dict[str, Any] = {"bins": bins, "convention": convention}
    assert ece(*swapped, **options) == pytest.approx(ece(p, y, **options), abs=1e-12)


@steady
@given(pairs(), counts, conventions)
def test_the_order_of_rows_does_not_matter(rows: tuple[Array, Array], bins: int, convention: Convention) -> None:
    """Shuffled rows give the same error."""
    p, y = rows
    shuffle = np.random.default_rng(1).permutation(len(p))
    options: dict[str, Any] = {"bins": bins, "convention": convention}
    assert ece(p[shuffle], y[shuffle], **options) == pytest.approx(ece(p, y, **options), abs=1e-12)


@steady
@given(pairs(), counts, conventions)
def test_bounds(rows: tuple[Array, Array], bins: int, convention: Convention) -> None:
    """0 ≤ ECE ≤ L1 ≤ 1: averaging in bins can only cancel."""
    assert 0 <= ece(*rows, bins=bins, convention=convention) <= l1(*rows) + 1e-12 <= 1 + 1e-12


@steady
@given(pairs(), counts, conventions)
def test_perfect_predictions_have_no_error(rows: tuple[Array, Array], bins: int, convention: Convention) -> None:
    """Labels equal to the predictions, soft or hard, give 0."""
    p, _ = rows
    assert ece(p, p, bins=bins, convention=convention) == pytest.approx(0, abs=1e-12)
    assert brier(p, p) == l1(p, p) == 0


@steady
@given(pairs(), conventions)
def test_the_curve_accounts_for_every_pair(rows: tuple[Array, Array], convention: Convention) -> None:
    """Counts add up to the pairs (twice the pairs, two-sided) and predictions do not fall."""
    curve = reliability_curve(*rows, convention=convention)
    assert curve.count.sum() == len(rows[0]) * (2 if convention == "two-sided" else 1)
    assert (np.diff(curve.predicted) >= -1e-12).all()  # 1/2 and its other order lie in two bins
    assert (curve.count > 0).all()


def test_winner_only_is_another_figure() -> None:
    """P of the preferred answer against a label of always 1 is mean(1 − P) for a perfectly calibrated model."""
    p, y = _population(20_000)
    of_the_winner = np.where(y == 1, p, 1 - p)
    curve = np.histogram(of_the_winner, bins=10, range=(0, 1), weights=1 - of_the_winner)[0]
    winner_only = float(curve.sum()) / len(p)
    assert winner_only == pytest.approx(float(np.mean(1 - of_the_winner)), abs=1e-12)
    assert winner_only > 0.3
    assert ece(p, y) < 0.02
    # Because both orders are seen, the very same rows are harmless here.
    assert ece(of_the_winner, np.ones(len(p))) == pytest.approx(ece(p, y), abs=1e-12)


def test_perfect_calibration_lies_within_the_floor() -> None:
    """About 90 % of perfectly calibrated samples lie between the floor's quantiles, a miscalibrated one above."""
    p, _ = _population(500)
    floor = ece_noise_floor(p, draws=400, seed=1)
    assert 0 < floor.low < floor.mean < floor.high
    rng = np.random.default_rng(2)
    found = [ece(p, (rng.random(500) < p).astype(float)) for _ in range(400)]
    assert np.mean((floor.low <= np.array(found)) & (np.array(found) <= floor.high)) == pytest.approx(0.9, abs=0.06)
    overconfident = p**3 / (p**3 + (1 - p) ** 3)
    label = (rng.random(500) < p).astype(float)
    assert ece(overconfident, label) > ece_noise_floor(overconfident, draws=50).high


def test_the_floor_at_150_pairs_is_that_of_the_notes() -> None:
    """A test set of paper 1's size has a floor of several hundredths, which more pairs lower; seeds repeat."""
    few, many = ece_noise_floor(_population(150)[0]), ece_noise_floor(_population(2352)[0])
    assert 0.03 < few.mean < 0.09
    assert many.high < few.low
    assert few == ece_noise_floor(_population(150)[0], seed=0)
    assert few != ece_noise_floor(_population(150)[0], seed=1)


def test_certain_predictions_have_no_floor() -> None:
    """Probabilities of 0 and 1 leave nothing to chance."""
    floor = ece_noise_floor([0.0, 1.0, 1.0], draws=5)
    assert (floor.mean, floor.low, floor.high) == (0, 0, 0)


@steady
@given(pairs(share=st.floats(0.001, 0.999)))
def test_proper_scores_are_least_at_the_truth(rows: tuple[Array, Array]) -> None:
    """No prediction beats the label itself, in Brier or in cross-entropy."""
    p, y = rows
    assert brier(p, y) >= brier(y, y)
    assert nll(p, y) >= nll(y, y) - 1e-12


def test_scores_by_hand() -> None:
    """Brier, cross-entropy and L1 of soft labels, by hand."""
    p, y = [0.8, 0.5], [0.6, 1.0]
    assert brier(p, y) == pytest.approx((0.04 + 0.25) / 2)
    assert l1(p, y) == pytest.approx((0.2 + 0.5) / 2)
    by_hand = -(0.6 * math.log(0.8) + 0.4 * math.log(0.2) + math.log(0.5)) / 2
    assert nll(p, y) == pytest.approx(by_hand, rel=1e-12)


@steady
@given(votes, votes)
def test_certainty_costs_a_finite_price(p: float, y: float) -> None:
    """A prediction of 0 or 1 costs about nothing when right and −ln ε when wrong; never infinity, never NaN."""
    price = -math.log(np.finfo(np.float64).eps)
    assert nll([p], [y]) == pytest.approx(0 if p == y else price, abs=1e-12)


def test_small_probabilities_keep_their_precision() -> None:
    """Clipping touches nothing above float ε."""
    assert nll([1e-15], [1.0]) == pytest.approx(-math.log(1e-15), rel=1e-12)
    assert nll([1e-15], [0.0]) == pytest.approx(1e-15, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"bins": 0}, "bins must be at least 1"),
        ({"convention": "winner-only"}, "'winner-only' is none of two-sided, confidence"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], cause: str) -> None:
    """A mistyped option is an error, not the other convention."""
    for error in (ece, reliability_curve):
        with pytest.raises(ValueError, match=cause):
            error([0.5], [1.0], **options)


def test_the_floor_needs_a_draw() -> None:
    """No draws is an error, not NaN."""
    with pytest.raises(ValueError, match="draws must be at least 1"):
        ece_noise_floor([0.5], draws=0)
