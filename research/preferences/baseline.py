"""What a reward model must beat: the answers' lengths, weighed by logistic regression on the training pairs."""

from collections.abc import Hashable, Sequence

import numpy as np

from plurality.core.rows import PreferenceRow
from plurality.evaluation.baselines import fit_logistic, length_features
from research.preferences.figures import Array, Judged, fractions_of


def length_baseline(
    parts: Sequence[tuple[Sequence[PreferenceRow], Sequence[PreferenceRow]]], clusters: Sequence[Hashable]
) -> Judged:
    """Predictions on all test rows; `parts` are training and test rows of each fold."""
    predicted = []
    for train, test in parts:
        weight = fit_logistic(_lengths(train), np.array([row.label for row in train]))
        predicted.append(1 / (1 + np.exp(-_lengths(test) @ weight)))
    probability_RN = np.concatenate(predicted)[None]
    fractions = np.concatenate([fractions_of(test) for _, test in parts])
    return Judged(probability_RN, probability_RN, fractions, clusters)


def _lengths(rows: Sequence[PreferenceRow]) -> Array:
    a = np.array([length_features(row.response_a) for row in rows])
    b = np.array([length_features(row.response_b) for row in rows])
    difference: Array = a - b
    return difference
