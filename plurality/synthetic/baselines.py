"""What a reward model must beat: logistic regression on length alone, and on bags of words. Numpy only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plurality.synthetic.generate import DemoPair

Array = NDArray[np.float64]
_STEPS = 300


@dataclass(frozen=True, slots=True)
class BaselineAccuracy:
    """Accuracy on the test pairs."""

    label: float
    """Against one annotator's choice."""
    majority: float
    """Against the population's majority."""
    by_kind: dict[str, float]
    """Against the majority, objective and subjective apart."""


def length_only_accuracy(train: Sequence[DemoPair], test: Sequence[DemoPair]) -> BaselineAccuracy:
    """Fitted on the difference of the responses' lengths in words and in characters."""

    def features(pairs: Sequence[DemoPair]) -> Array:
        return np.array([_sizes(pair.response_a) - _sizes(pair.response_b) for pair in pairs])

    scale = np.abs(features(train)).mean(axis=0) + 1e-9
    return _fit_and_score(features(train) / scale, features(test) / scale, train, test, penalty=1e-3)


def _sizes(text: str) -> Array:
    return np.array([len(text.split()), len(text)], dtype=np.float64)


def bag_of_words_accuracy(train: Sequence[DemoPair], test: Sequence[DemoPair]) -> BaselineAccuracy:
    """Fitted on the difference of the responses' counts of words and word pairs seen at least twice."""
    counts: dict[str, int] = {}
    for pair in train:
        for text in (pair.response_a, pair.response_b):
            for term in set(_terms(text)):
                counts[term] = counts.get(term, 0) + 1
    vocabulary = {term: i for i, term in enumerate(sorted(term for term, count in counts.items() if count > 1))}

    def features(pairs: Sequence[DemoPair]) -> Array:
        matrix = np.zeros((len(pairs), len(vocabulary)))
        for row, pair in enumerate(pairs):
            for text, sign in ((pair.response_a, 1.0), (pair.response_b, -1.0)):
                for term in _terms(text):
                    if term in vocabulary:
                        matrix[row, vocabulary[term]] += sign
        return matrix

    return _fit_and_score(features(train), features(test), train, test, penalty=20.0)


def _largest_eigenvalue(x: Array) -> float:
    """Of xᵀx, by power iteration; 10 % on top, it converges from below."""
    vector = np.ones(x.shape[1])
    for _ in range(30):
        vector = x.T @ (x @ vector)
        vector /= np.linalg.norm(vector)
    return 1.1 * float(np.linalg.norm(x.T @ (x @ vector)))


def _terms(text: str) -> list[str]:
    words = re.findall(r"[a-z0-9']+", text.lower())
    return words + [f"{first} {second}" for first, second in pairwise(words)]


def _fit_and_score(
    train_x: Array, test_x: Array, train: Sequence[DemoPair], test: Sequence[DemoPair], *, penalty: float
) -> BaselineAccuracy:
    label = np.array([pair.label for pair in train], dtype=np.float64)
    weights = np.zeros(train_x.shape[1])
    # Lipschitz bound of the logistic loss's gradient: a step that cannot diverge.
    step = len(label) / (0.25 * _largest_eigenvalue(train_x) + penalty)
    velocity = np.zeros_like(weights)
    for _ in range(_STEPS):
        ahead = weights + 0.9 * velocity
        gradient = train_x.T @ (1 / (1 + np.exp(-train_x @ ahead)) - label) / len(label) + penalty / len(label) * ahead
        velocity = 0.9 * velocity - step * gradient
        weights = weights + velocity
    right = (test_x @ weights > 0) == np.array([pair.true_preference > 0.5 for pair in test])
    kinds = np.array([pair.kind for pair in test])
    return BaselineAccuracy(
        label=float(np.mean((test_x @ weights > 0) == np.array([pair.label == 1 for pair in test]))),
        majority=float(right.mean()),
        by_kind={str(kind): float(right[kinds == kind].mean()) for kind in np.unique(kinds)},
    )
