"""What people think of a row, and the lines of the tables."""

import numpy as np
import pytest

from plurality.evaluation.sample import make_sample, slices
from plurality.evaluation.votes import Annotation
from tests.plurality.training.data import row


def test_people() -> None:
    """p* is the true preference, else the share of the votes, else not known; annotations, where given, alone."""
    rows = [
        row(id="a", true_preference=0.3, votes={"a": 9, "b": 1}),
        row(id="b", votes={"a": 7, "b": 2, "tie": 1}),
        row(id="c"),
    ]
    sample = make_sample(rows)
    assert sample.known.tolist() == [True, True, False]
    assert sample.people[:2].tolist() == [0.3, 0.75]
    annotated = make_sample(rows, annotations={"c": Annotation(3, 0.9, None, None)})
    assert annotated.known.tolist() == [False, False, True]
    assert annotated.people[2] == 0.9


def test_paper_order() -> None:
    """Sources in domain, All ID, sources out of it, All OOD, All, then categories, each by domain; none is empty."""
    sources = ["webgpt", "hh", "prism", "hh"]
    rows = [row(id=str(i), source=source) for i, source in enumerate(sources)]
    given = [(True, True), (False, True), (False, False), (None, True)]
    annotations = {str(i): Annotation(3, 0.5, single, clear) for i, (single, clear) in enumerate(given)}
    found = slices(make_sample(rows, annotations=annotations, id_sources=["webgpt", "hh"]))
    assert [(entry.name, entry.places.tolist()) for entry in found] == [
        ("hh", [1, 3]),
        ("webgpt", [0]),
        ("All ID", [0, 1, 3]),
        ("prism", [2]),
        ("All OOD", [2]),
        ("All", [0, 1, 2, 3]),
        ("Multiple Correct", [1, 2]),
        ("Multiple Correct, ID", [1]),
        ("Multiple Correct, OOD", [2]),
        ("Single Correct", [0]),
        ("Single Correct, ID", [0]),
        ("Distinguishable", [0, 1, 3]),
        ("Distinguishable, ID", [0, 1, 3]),
        ("Indistinguishable", [2]),
        ("Indistinguishable, OOD", [2]),
    ]


def test_rewardbench() -> None:
    """Without annotations and domains: the file's sources and categories."""
    rows = [row(id=str(i), source="s", category=category) for i, category in enumerate(["chat", "code", None, "chat"])]
    found = slices(make_sample(rows))
    assert [(entry.group, entry.name, entry.places.tolist()) for entry in found] == [
        ("source", "s", [0, 1, 2, 3]),
        ("all", "All", [0, 1, 2, 3]),
        ("category", "chat", [0, 3]),
        ("category", "code", [1]),
    ]


def test_conversations_are_clusters() -> None:
    """Pairs on one conversation are one cluster, as pairs on one prompt are."""
    messages = [{"role": "user", "content": "x"}]
    rows = [row(id=str(i), prompt=None, messages=messages) for i in range(2)]
    assert len(set(make_sample(rows).prompts)) == 1
    assert np.isfinite(make_sample(rows).people).all()
    assert pytest.approx(0.5) == make_sample(rows).people.mean()
