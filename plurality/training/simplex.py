"""The point of a convex hull that lies nearest to the origin: MORE's weights (arXiv 2312.07401, App. B).

    λ = argmin ‖Σ λ_k g_k‖²,  λ ≥ 0,  Σ λ_k = 1

by Wolfe's algorithm (Mathematical Programming 11, 1976): an active set of points whose affine minimum is exact.
It ends after finitely many steps at machine precision, where Frank-Wolfe only approaches. Pure numpy, float64.
Suffixes: K points, D coordinates, S the points of the active set.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_ROUNDING = 8 * np.finfo(np.float64).eps
"""A relative decrease below this is rounding. The dot product of a point with the minimum is known no better."""


@dataclass(frozen=True, slots=True)
class Weights:
    """λ and its certificate."""

    weight_K: Array
    gap: float
    """λᵀGλ − min_k (Gλ)_k relative to max diag G, with G_kl = g_k·g_l: 0 at the minimum; half the squared distance from
    the minimal point is at most this."""
    norm: float
    """‖Σ λ_k g_k‖."""


def min_norm_weights(point_KD: Array) -> Weights:
    """Weights of the hull's point of least norm. They are unique where the points are affinely independent; where they
    are not (copies, zeros, K > D + 1) one of the minima.

    Args:
        point_KD: the K points; K ≥ 1.

    Raises:
        ValueError: no points, or one that is not finite.
    """
    if point_KD.ndim != 2 or len(point_KD) == 0 or not np.isfinite(point_KD).all():
        raise ValueError("min_norm_weights needs finite points, shape [K, D] with K >= 1")
    scale = float(np.abs(point_KD).max(initial=0.0))
    if scale == 0.0:
        return Weights(np.full(len(point_KD), 1.0 / len(point_KD)), 0.0, 0.0)
    small_KR = _same_angles(point_KD.astype(np.float64) / scale)
    weight_K = _wolfe(small_KR)
    return Weights(weight_K, certificate_gap(small_KR, weight_K), scale * float(np.linalg.norm(weight_K @ small_KR)))


def certificate_gap(point_KD: Array, weight_K: Array) -> float:
    """λᵀGλ − min_k (Gλ)_k relative to max diag G: how far, at most, the objective is above its minimum (twice)."""
    nearest_D = weight_K @ point_KD
    largest = float((point_KD**2).sum(axis=1).max())
    return float(nearest_D @ nearest_D - (point_KD @ nearest_D).min()) / largest if largest else 0.0


def with_floor(weight_K: Array, floor: float) -> Array:
    """λ ← (1 − ε)λ + ε/K: no source falls silent where another's gradient vanishes and would take all the weight."""
    return (1.0 - floor) * weight_K + floor / len(weight_K)


def _same_angles(point_KD: Array) -> Array:
    """Points of the same Gram matrix in at most K coordinates: the search costs the same for any width of a head."""
    if point_KD.shape[1] <= len(point_KD):
        return point_KD
    return np.asarray(np.linalg.qr(point_KD.T)[1].T)


def _wolfe(point_KD: Array) -> Array:
    """Start at the shortest point; let the point of steepest descent enter until none brings the minimum nearer."""
    weight_K = np.zeros(len(point_KD))
    weight_K[int(np.argmin((point_KD**2).sum(axis=1)))] = 1.0
    while (closer_K := _closer(point_KD, weight_K)) is not None:
        weight_K = closer_K
    return weight_K


def _closer(point_KD: Array, weight_K: Array) -> Array | None:
    """The next minimum, strictly nearer to the origin, so that no active set comes twice; None: there is none."""
    nearest_D = weight_K @ point_KD
    norm = float(np.linalg.norm(nearest_D))
    descent_K = norm * norm - point_KD @ nearest_D
    helpful_K = (descent_K > _ROUNDING * norm * np.linalg.norm(point_KD, axis=1)) & (weight_K == 0)
    for entering in np.argsort(-descent_K):
        if helpful_K[entering]:
            next_K = _minor_cycle(point_KD, weight_K, int(entering))
            if float(np.linalg.norm(next_K @ point_KD)) < norm:
                return next_K
    return None


def _minor_cycle(point_KD: Array, weight_K: Array, entering: int) -> Array:
    """Go to the affine minimum of the active set and the entering point; what comes to zero on the way leaves."""
    weight_K = weight_K.copy()
    active = weight_K > 0
    active[entering] = True
    while True:
        chosen_S = np.flatnonzero(active)
        target_S = _affine_minimum(point_KD[chosen_S])
        if (target_S > 0).all():
            weight_K[chosen_S] = target_S
            return np.asarray(weight_K / weight_K.sum())
        current_S = weight_K[chosen_S]
        falling_S = np.flatnonzero(target_S <= 0)
        step_F = current_S[falling_S] / np.maximum(current_S[falling_S] - target_S[falling_S], np.finfo(float).tiny)
        first = falling_S[int(np.argmin(step_F))]
        moved_S = current_S + float(step_F.min()) * (target_S - current_S)
        moved_S[first] = 0.0
        weight_K[chosen_S] = np.maximum(moved_S, 0.0)
        active = weight_K > 0
        if active.sum() == 1:
            return active.astype(np.float64)


def _affine_minimum(point_SD: Array) -> Array:
    """Weights, of any sign, that sum to 1 and bring the points' combination nearest to the origin.

    Least squares on the differences to the shortest point, not on their Gram matrix, whose condition is squared.
    """
    base = int(np.argmin((point_SD**2).sum(axis=1)))
    others = np.delete(np.arange(len(point_SD)), base)
    difference_ED = point_SD[others] - point_SD[base]
    length_E = np.linalg.norm(difference_ED, axis=1)
    length_E[length_E == 0] = 1.0
    solution_E = np.linalg.lstsq((difference_ED / length_E[:, None]).T, -point_SD[base], rcond=None)[0]
    weight_S = np.empty(len(point_SD))
    weight_S[others] = solution_E / length_E
    weight_S[base] = 1.0 - weight_S[others].sum()
    return weight_S
