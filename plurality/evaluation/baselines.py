"""What a reward model must beat: predictors that do not read the answers. Logistic regression without an intercept.

A baseline is fitted by cross-validation on the very pairs that are evaluated: folds by prompt, each predicted by a fit
to the labels of the others. No temperature is fitted apart: the length of the weight vector is one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from plurality.core.rows import PreferenceRow
from plurality.evaluation.predict import Predictions

Array = NDArray[np.float64]
Features = Callable[[str], Sequence[float]]
"""Of one answer."""

FOLDS: Final = 5
_RIDGE = 1.0
"""Of the standardized weights: as if one more pair spoke against each."""
_STEPS = 50
_ENOUGH = 1e-10
_FORMAT: Final = (
    r"^\s*[-*•]\s", r"^\s*\d+[.)]\s", r"^#{1,6}\s", r"\*\*", r"`", r"\n\s*\n", r"\?", r"!", r"\d", r"\bI\b", r"https?:",
)  # fmt: skip
"""Bullets, numbered items, headings, bold, code, paragraphs, questions, exclamations, digits, first person, links."""


def length_features(text: str) -> Sequence[float]:
    """Characters, and words as their logarithm: more is better, but ever less so."""
    return (float(len(text)), float(np.log1p(len(text.split()))))


def format_features(text: str) -> Sequence[float]:
    """Logarithms of how often each mark of layout and tone is there."""
    return [float(np.log1p(len(re.findall(pattern, text, re.MULTILINE)))) for pattern in _FORMAT]


BASELINES: Final[Mapping[str, Features]] = {"length": length_features, "format": format_features}


def baseline_predictions(rows: Sequence[PreferenceRow]) -> dict[str, Predictions]:
    """Cross-validated predictions of every baseline, and even odds (P = 1/2 for all).

    Baselines that need a fit are left out where all pairs are on one prompt, or in one fold.
    """
    even = np.zeros((len(rows), 2))
    found = {name: _cross_validated(rows, features) for name, features in BASELINES.items()}
    return {name: made for name, made in found.items() if made} | {"even odds": _predictions(even)}


def folds(rows: Sequence[PreferenceRow]) -> NDArray[np.intp]:
    """Fold of every row, shape [N]: all pairs of a prompt are in one, whatever else is in the file."""
    return np.array([int(row.prompt_key, 16) % FOLDS for row in rows], dtype=np.intp)


def _cross_validated(rows: Sequence[PreferenceRow], features: Features) -> Predictions | None:
    fold = folds(rows)
    if len(np.unique(fold)) < 2:
        return None
    a = np.array([features(row.response_a) for row in rows])
    b = np.array([features(row.response_b) for row in rows])
    target = np.array([row.preference for row in rows])
    rewards = np.zeros((len(rows), 2))
    for part in np.unique(fold):
        held = fold == part
        weights = fit_logistic((a - b)[~held], target[~held])
        rewards[held] = np.stack([a[held] @ weights, b[held] @ weights], axis=1)
    return _predictions(rewards)


def fit_logistic(difference: Array, target: Array) -> Array:
    """Weights w of σ(w · difference) by penalized maximum likelihood (Newton's method), shape [F].

    No intercept: P(a,b) + P(b,a) = 1. Invariant to the unit of each feature.

    Args:
        difference: features of a less those of b, shape [N, F].
        target: P(a preferred), shape [N].
    """
    scale = np.sqrt(np.mean(difference**2, axis=0))
    x = difference / np.where(scale > 0, scale, 1.0)
    weights = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = _sigmoid(x @ weights)
        gradient = x.T @ (target - p) - _RIDGE * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(x.shape[1])
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < _ENOUGH:
            break
    found: Array = weights / np.where(scale > 0, scale, 1.0)
    return found


def _predictions(rewards: Array) -> Predictions:
    margin = rewards[:, 0] - rewards[:, 1]
    return Predictions(margin, _sigmoid(margin), _sigmoid(margin), rewards)


def _sigmoid(x: Array) -> Array:
    found: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return found
