"""MORE's weights: exact, certified, and those of a generic solver."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from plurality.training.simplex import Array, certificate_gap, min_norm_weights, with_floor

exact = hypothesis_settings(max_examples=300)


@st.composite
def points(draw: st.DrawFn, *, most: int = 16, degenerate: bool = True) -> Array:
    """K ≤ 16 random points of widely different lengths; if degenerate, some are zero, copies, or on a line."""
    count, width = draw(st.integers(1, most)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = rng.normal(size=(count, width)) + draw(st.sampled_from([0.0, 0.3, 3.0])) * rng.normal(size=width)
    made *= 10.0 ** rng.uniform(-draw(st.sampled_from([0, 1, 4])), 0, size=(count, 1))
    for index in range(count if degenerate else 0):
        other = made[int(rng.integers(count))]
        change = draw(st.sampled_from(["none", "none", "none", "zero", "copy", "longer", "opposite", "nearly"]))
        if change != "none":
            nearly = other * (1 + 1e-9 * rng.normal(size=width))
            made[index] = {"zero": 0 * other, "copy": other, "longer": 3 * other, "opposite": -other, "nearly": nearly}[
                change
            ]
    return np.asarray(made * 10.0 ** draw(st.integers(-12, 12)))


def objective(point_KD: Array, weight_K: Array) -> float:
    return float(((weight_K @ point_KD) ** 2).sum())


def on_simplex(weight_K: Array) -> bool:
    return bool((weight_K >= 0).all()) and abs(float(weight_K.sum()) - 1) < 1e-12


@exact
@given(points())
def test_certificate(point_KD: Array) -> None:
    """For any K ≤ 16, degenerate or not: on the simplex, gap ≤ 1e-8 of max diag G, no longer than any point."""
    found = min_norm_weights(point_KD)
    assert on_simplex(found.weight_K)
    assert found.gap <= 1e-8
    assert found.gap == pytest.approx(certificate_gap(point_KD, found.weight_K), abs=1e-12)
    shortest = float(np.linalg.norm(point_KD, axis=1).min())
    rounding = 1e-15 * float(np.abs(point_KD).max())
    assert found.norm <= shortest * (1 + 1e-9) + rounding
    expected = objective(point_KD, found.weight_K) ** 0.5
    assert found.norm == pytest.approx(expected, rel=1e-6, abs=max(1e-12 * shortest, rounding))


@exact
@given(points(degenerate=False))
def test_machine_precision(point_KD: Array) -> None:
    """On points in general position the gap is a rounding error, not a tolerance."""
    assert abs(min_norm_weights(point_KD).gap) <= 1e-13


def solve_generic(gram_KK: Array) -> Array:
    """A generic QP solver's λ: SLSQP on ½λᵀGλ, G scaled to diagonal 1 at most."""
    scaled_KK, count = gram_KK / gram_KK.diagonal().max(), len(gram_KK)
    problem: dict[str, Any] = {
        "jac": lambda w: scaled_KK @ w,
        "bounds": [(0, 1)] * count,
        "constraints": [{"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)}],
        "options": {"ftol": 1e-16, "maxiter": 2000},
    }
    start_K = np.full(count, 1 / count)
    half: Any = lambda w: float(0.5 * w @ scaled_KK @ w)  # noqa: E731 - the stubs know no Jacobian beside it
    result = minimize(half, start_K, method="SLSQP", **problem)
    return np.asarray(result.x)


@hypothesis_settings(max_examples=120)
@given(points())
def test_generic_solver(point_KD: Array) -> None:
    """Never above a generic QP solver's objective, and level with it; the same λ where G is positive definite."""
    largest = float((point_KD**2).sum(axis=1).max())
    assume(largest > 0)
    found, other = min_norm_weights(point_KD).weight_K, solve_generic(point_KD @ point_KD.T)
    ours, theirs = objective(point_KD, found) / largest, objective(point_KD, other) / largest
    assert ours <= theirs + 1e-8
    assert ours == pytest.approx(theirs, abs=1e-6)
    least = float(np.linalg.eigvalsh(point_KD @ point_KD.T / largest)[0])
    if least > 1e-2:
        np.testing.assert_allclose(found, other, atol=2e-4)


@exact
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=16), st.integers(0, 99))
def test_orthogonal(lengths: list[float], seed: int) -> None:
    """Orthogonal gradients: λ_k ∝ 1/‖g_k‖², so the source with the large gradient weighs least."""
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(20, 20)))[0]
    found = min_norm_weights(rotation[: len(lengths)] * np.array(lengths)[:, None])
    expected = 1 / np.square(lengths)
    np.testing.assert_allclose(found.weight_K, expected / expected.sum(), rtol=1e-6, atol=1e-14)


@exact
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_two_points(a: float, b: float, c: float, d: float) -> None:
    """K = 2 is the closed form γ = clip(⟨g2, g2 − g1⟩ / ‖g1 − g2‖², 0, 1)."""
    first, second = np.array([a, b]), np.array([c, d])
    assume(float(np.linalg.norm(first - second)) > 1e-3)
    share = float(np.clip(second @ (second - first) / ((first - second) ** 2).sum(), 0, 1))
    np.testing.assert_allclose(min_norm_weights(np.stack([first, second])).weight_K, [share, 1 - share], atol=1e-9)


@hypothesis_settings(max_examples=60)
@given(points(most=4))
def test_no_support_is_better(point_KD: Array) -> None:
    """No subset of the points has an affine minimum inside it that is nearer: checked for every subset."""
    largest = float((point_KD**2).sum(axis=1).max())
    best = objective(point_KD, min_norm_weights(point_KD).weight_K)
    for size in range(1, len(point_KD) + 1):
        for chosen in itertools.combinations(range(len(point_KD)), size):
            gram = point_KD[list(chosen)] @ point_KD[list(chosen)].T
            system = np.block([[gram, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            weight = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0][:size]
            if (weight >= 0).all() and abs(weight.sum() - 1) < 1e-9:
                assert best <= float(weight @ gram @ weight) + 1e-9 * largest


def test_one_point() -> None:
    """K = 1 has the one weight, whatever the gradient."""
    assert min_norm_weights(np.array([[3.0, 4.0]])).weight_K.tolist() == [1.0]
    assert min_norm_weights(np.array([[3.0, 4.0]])).norm == pytest.approx(5.0)


def test_zeros() -> None:
    """A vanished gradient takes all the weight; if all vanish, each has its equal share."""
    assert min_norm_weights(np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]])).weight_K.tolist() == [0.0, 1.0, 0.0]
    assert min_norm_weights(np.zeros((4, 3))).weight_K.tolist() == [0.25] * 4


def test_copies() -> None:
    """Sources with the same gradient: any split is a minimum, and one is given."""
    found = min_norm_weights(np.tile([1.0, -2.0, 0.5], (5, 1)))
    assert on_simplex(found.weight_K)
    assert found.gap == pytest.approx(0.0, abs=1e-15)


def test_scale_free() -> None:
    """λ does not depend on the unit of the gradients, down to where their squares are no numbers any more."""
    base = np.random.default_rng(1).normal(size=(5, 7))
    for scale in (1e-200, 1e-30, 1e30, 1e200):
        np.testing.assert_allclose(
            min_norm_weights(base * scale).weight_K, min_norm_weights(base).weight_K, rtol=1e-9, atol=1e-12
        )


@exact
@given(points(), st.floats(0, 1))
def test_floor(point_KD: Array, floor: float) -> None:
    """With the floor λ stays on the simplex and no source is below ε/K; at ε = 1 all are equal."""
    weight_K = with_floor(min_norm_weights(point_KD).weight_K, floor)
    assert on_simplex(weight_K)
    assert weight_K.min() >= floor / len(point_KD) - 1e-15
    assert with_floor(weight_K, 1.0).tolist() == pytest.approx([1 / len(point_KD)] * len(point_KD))


@pytest.mark.parametrize("wrong", [np.zeros((0, 3)), np.zeros(3), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])])
def test_refused(wrong: Array) -> None:
    """No points, the wrong shape, or what is no number."""
    with pytest.raises(ValueError, match="needs finite points"):
        min_norm_weights(wrong)
