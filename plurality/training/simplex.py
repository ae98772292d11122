"""The point of a convex hull that lies nearest to the origin: MORE's weights (arXiv 2312.07401, App. B).

    λ = argmin ‖Σ λ_k g_k‖²,  λ ≥ 0,  Σ λ_k = 1

as a nonnegative least squares problem (Lawson and Hanson 1974, ch. 23, least distance programming), whose active set
ends after finitely many steps at machine precision, where Frank-Wolfe only approaches. float64.
Suffixes: K points, D coordinates, R at most K of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Array = NDArray[np.float64]


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
    weight_K = _nearest(small_KR)
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


def _nearest(point_KR: Array) -> Array:
    """λ ∝ x, where x ≥ 0 brings (Σ x_k g_k, Σ x_k) nearest to (0, 1)."""
    system = np.vstack([point_KR.T, np.ones(len(point_KR))])
    target = np.zeros(len(system))
    target[-1] = 1.0
    weight_K = nnls(system, target, maxiter=100 * len(point_KR))[0]
    return np.asarray(weight_K / weight_K.sum())
