"""Samples whose every figure is known: pairs of the demo's simulated population, and predictors made from its p*."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plurality.core.rows import PreferenceRow
from plurality.evaluation.predict import Predictions
from plurality.evaluation.sample import Sample, make_sample
from plurality.synthetic.population import ATTRIBUTES, make_population
from tests.plurality.training.data import row

Array = NDArray[np.float64]


def population_shares(count: int, *, seed: int = 0) -> Array:
    """p* of random pairs of answers, exact: the mean over every annotator."""
    people, rng = make_population(annotators=40), np.random.default_rng(seed)
    answers = rng.normal(0, 0.5, (count, 2, len(ATTRIBUTES)))
    return np.array([people.true_preference(a, b) for a, b in answers])


def exact_labels(shares: Sequence[float], each: int = 10) -> tuple[Array, Array]:
    """p* and labels, each share `each` times with exactly that share of ones: labels as calibrated as can be."""
    people = np.repeat(np.array(shares), each)
    label = np.concatenate([np.arange(each) < round(each * share) for share in shares]).astype(np.float64)
    return people, label


def make_rows(people: Array, label: Array | None = None, **fields: Callable[[int], Any]) -> list[PreferenceRow]:
    """One row a share, each on a prompt of its own; `fields` make further ones from the index."""
    given = (people > 0.5).astype(float) if label is None else label
    base: dict[str, Callable[[int], Any]] = {
        "id": lambda i: f"r{i}",
        "prompt": lambda i: f"p{i}",
        "label": lambda i: float(given[i]),
        "true_preference": lambda i: float(people[i]),
    }
    return [row(**{name: make(i) for name, make in (base | fields).items()}) for i in range(len(people))]


def population_sample(people: Array, label: Array | None = None, **fields: Callable[[int], Any]) -> Sample:
    """The rows as a sample."""
    return make_sample(make_rows(people, label, **fields))


def predictions(probability: Array) -> Predictions:
    """A calibrated predictor of these probabilities."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    margin = np.log(p) - np.log1p(-p)
    return Predictions(margin, probability, probability, np.stack([margin, np.zeros_like(margin)], axis=1))


def tempered(people: Array, power: float) -> Array:
    """σ(power · logit p*): over-confident above one."""
    found: Array = people**power / (people**power + (1 - people) ** power)
    return found
