"""What a reward model must beat: logistic regression on length alone, and on bags of words."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from plurality.synthetic.generate import DemoPair

Sides = NDArray[np.bool_]
"""Whether answer a is predicted to be preferred, shape [N]."""


def length_only(train: Sequence[DemoPair], test: Sequence[DemoPair]) -> Sides:
    """Fitted on the difference of the responses' lengths in words and in characters."""

    def features(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([(len(text.split()), len(text)) for text in texts], dtype=np.float64)

    model = LogisticRegression(C=1e3, fit_intercept=False, solver="newton-cholesky")
    return _predicted(model, features, train, test)


def bag_of_words(train: Sequence[DemoPair], test: Sequence[DemoPair]) -> Sides:
    """Fitted on the difference of the responses' counts of words and word pairs seen in at least two of them."""
    counter = CountVectorizer(
        tokenizer=re.compile(r"[a-z0-9']+").findall, token_pattern=None, ngram_range=(1, 2), min_df=2
    )
    counter.fit([text for pair in train for text in (pair.response_a, pair.response_b)])
    model = LogisticRegression(C=1 / 20, fit_intercept=False, tol=1e-8, max_iter=10_000)
    return _predicted(model, counter.transform, train, test)


def majority_accuracy(predicted: Sides, test: Sequence[DemoPair]) -> float:
    """Share of the pairs where the population's majority prefers the predicted side."""
    return float(np.mean(predicted == np.array([pair.true_preference > 0.5 for pair in test])))


def _predicted(model: Any, features: Any, train: Sequence[DemoPair], test: Sequence[DemoPair]) -> Sides:
    def difference(pairs: Sequence[DemoPair]) -> Any:
        return features([pair.response_a for pair in pairs]) - features([pair.response_b for pair in pairs])

    model.fit(difference(train), [pair.label for pair in train])
    found: Sides = model.decision_function(difference(test)) > 0
    return found
