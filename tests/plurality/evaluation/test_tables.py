"""Both papers' tables as records, as text and as JSON."""

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from plurality.evaluation.predict import Predictions
from plurality.evaluation.sample import make_sample
from plurality.evaluation.tables import Predictor, Results, evaluate
from plurality.evaluation.text import lines
from plurality.evaluation.votes import Annotation
from plurality.stats.paired import Resampling
from tests.plurality.evaluation.synthetic import (
    exact_labels,
    make_rows,
    population_sample,
    population_shares,
    predictions,
    tempered,
)
from tests.plurality.training.data import row

PEOPLE = population_shares(80)
SOURCES = ["webgpt", "hh", "prism", "ultrafeedback"]
FILE = {"file": "pairs.jsonl", "sha256": "0" * 64, "votes": None}


def paper_results(**changes: Any) -> Results:
    """Two models on a file with the first paper's columns."""
    rows = make_rows(PEOPLE, source=lambda i: SOURCES[i % 4])
    annotations = {
        row.id: Annotation(3, float(PEOPLE[i]), single_correct=i % 3 == 0, distinguishable=i % 5 != 0)
        for i, row in enumerate(rows)
    }
    sample = make_sample(rows, annotations=annotations, id_sources=SOURCES[:2])
    given: dict[str, Any] = {
        "models": [Predictor("wrong", predictions(tempered(PEOPLE, 3.0))), Predictor("oracle", predictions(PEOPLE))],
        "baselines": [Predictor("even odds", predictions(np.full(80, 0.5)), trivial=True)],
        "resampling": Resampling(60),
        "data": FILE,
    }
    return evaluate(sample, **(given | changes))


paper = cache(paper_results)
"""The same object for every test that only reads it."""


def text(results: Results) -> str:
    return "\n".join(lines(results))


def shape(value: Any) -> Any:
    """Keys, and what they hold, of a JSON value; lists by their first entry."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__ if not isinstance(value, float) else "float"


def test_the_papers_two_tables() -> None:
    """Every line of the first paper's tables is there with its N, its Pearson and L1, and the difference of models."""
    printed = text(paper())
    names = [
        "hh (20)", "webgpt (20)", "All ID (40)", "prism (20)", "All OOD (40)", "All (80)", "Multiple Correct (53)",
        "Single Correct (27)", "Multiple Correct, ID", "Multiple Correct, OOD", "Single Correct, ID",
        "Single Correct, OOD", "Distinguishable (64)", "Indistinguishable (16)",
    ]  # fmt: skip
    for name in names:
        assert printed.count(f"\n  {name}") == 4, name  # Pearson, L1, and the second paper's table of each model
    shift = np.mean(np.abs(tempered(PEOPLE, 3.0) - PEOPLE))
    table = printed[printed.index("L1 distance") :]
    line = next(line for line in table.splitlines() if line.startswith("  All (80)"))
    assert f" {shift:.3f} [" in line
    assert " 0.000 [0.000, 0.000] " in line
    assert f" {-shift:+.3f} [" in line
    assert "Williams' test, which takes pairs as independent, t(77)" in printed


def test_mean_of_the_sources() -> None:
    """Sources count once each however many pairs they have: the second paper's average, and RewardBench's."""
    people, label = exact_labels([0.9, 0.6])
    sample = population_sample(people, label, source=lambda i: "big" if i < 19 else "small")
    results = evaluate(sample, [Predictor("m", predictions(np.full(20, 0.7)))], [], Resampling(5), data=FILE)
    by_source = [entry.labels["accuracy"].estimate for entry in results.models[0].slices if entry.group == "source"]
    assert results.models[0].mean_source_accuracy == pytest.approx(np.mean([15 / 19, 0.0]))
    assert by_source == [pytest.approx(15 / 19), 0.0]


def test_rewardbench_without_people() -> None:
    """A file of labels alone: accuracy by subset; the first paper's tables say why they are not there."""
    rows = make_rows(PEOPLE, true_preference=lambda _: None, category=lambda i: ["chat", "code"][i % 2])
    results = evaluate(make_sample(rows), [Predictor("m", predictions(PEOPLE))], [], Resampling(10), data=FILE)
    printed = text(results)
    assert "Pearson correlation" not in printed
    assert "note: no pair has a p*" in printed
    assert "  chat (40)" in printed
    assert results.models[0].overall.labels["accuracy"].estimate == 1.0
    assert results.models[0].pearson_of_difference is None


def test_never_nan() -> None:
    """Figures without a value are a dash in text and null in JSON; nan is in neither."""
    people = np.full(6, 0.5)
    results = evaluate(
        population_sample(people, np.full(6, 0.5)),
        [Predictor("even", predictions(people)), Predictor("other", predictions(np.full(6, 0.6)))],
        [],
        Resampling(5),
        data=FILE,
    )
    printed = text(results)
    assert " – " in printed
    assert "nan" not in printed.lower()
    assert "NaN" not in json.dumps(results.as_json(), allow_nan=False)
    assert results.models[0].outliers is None
    assert results.models[0].mean_source_accuracy is None
    assert "6 labels are fractions" in printed


def test_small_slices_are_flagged() -> None:
    """A slice of fewer than 30 prompts has a star, and the star is explained."""
    printed = text(paper())
    assert "hh (20)*" in printed
    assert "All (80)*" not in printed
    assert "* fewer than 30 prompts" in printed


def test_partly_annotated() -> None:
    """Pairs without p* count only against labels; the numbers in the two tables say so, and a note does."""
    rows = make_rows(PEOPLE, source=lambda i: "asked" if i < 2 else "not asked")
    sample = make_sample(rows, annotations={"r0": Annotation(3, 0.9, None, None), "r1": Annotation(3, 0.2, None, None)})
    results = evaluate(sample, [Predictor("m", predictions(PEOPLE))], [], Resampling(5), data=FILE)
    printed = text(results)
    assert "  All (2)" in printed
    assert "  All (80)" in printed
    assert (printed.count("  asked (2)*"), printed.count("  not asked (78)")) == (3, 1)
    assert "note: 78 of 80 pairs have no p*" in printed


def test_best_of_n_is_printed() -> None:
    """Where prompts have three answers each n has its line: of two, the model's choice, any answer, the best."""
    rows = [
        row(id=f"{p}{i}{j}", prompt=p, response_a=str(i), response_b=str(j), label=1.0)
        for p in "xy"
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    rewards = np.array([[2.0, 1.0], [2.0, 0.0], [1.0, 0.0]] * 2)
    margin = rewards[:, 0] - rewards[:, 1]
    one = Predictor("one", Predictions(margin, np.full(6, 0.7), np.full(6, 0.7), rewards))
    printed = text(evaluate(make_sample(rows), [one], [], Resampling(5), data=FILE))
    assert "best of 2 (2 prompts): preferred 0.833 of the time; any answer 0.500, the best one 0.833" in printed
    assert "best of 3 (2 prompts): preferred 1.000 of the time; any answer 0.500, the best one 1.000" in printed
    assert "best of 1" not in printed


def test_unknown_id_source() -> None:
    """An in-domain source that no pair has is a slip of the pen, and is said."""
    sample = make_sample(make_rows(PEOPLE), id_sources=["webgtp"])
    results = evaluate(sample, [Predictor("m", predictions(PEOPLE))], [], Resampling(5), data=FILE)
    assert "--id-sources: no pair is from 'webgtp'" in results.notes


def test_the_same_twice() -> None:
    """The same input and seed give the same results; another seed other intervals, the same figures."""
    first, second = paper(), paper_results()
    assert first.as_json() == second.as_json()
    other = paper_results(resampling=Resampling(60, seed=1))
    ours, theirs = (found.models[0].overall.people["l1"] for found in (first, other))
    assert ours.estimate == theirs.estimate
    assert ours.low != theirs.low


def test_shape_of_the_json() -> None:
    """results.json keeps its fields: a change here is a new schema_version."""
    found = json.loads(json.dumps(paper().as_json(), allow_nan=False))
    assert found["schema_version"] == 1
    assert list(found) == [
        "schema_version", "data", "settings", "models", "baselines", "comparisons", "notes"
    ]  # fmt: skip
    figure = {"value": "float", "low": "float", "high": "float", "note": "NoneType"}
    plain = {"value": "float", "low": "NoneType", "high": "NoneType", "note": "NoneType"}
    line = shape(found["models"][0])["slices"][0]
    assert shape(found["data"]) == {
        "file": "str", "sha256": "str", "votes": "NoneType", "pairs": "int", "prompts": "int",
        "pairs_with_people": "int",
    }  # fmt: skip
    assert line == {
        "group": "str", "name": "str", "pairs": "int", "prompts": "int", "with_people": "int", "small": "bool",
        "people": {
            "pearson": figure, "spearman": plain, "l1": figure, "majority_accuracy": plain, "ece_soft": plain,
            "brier_soft": plain, "kl": plain, "disagreement_spearman": plain,
        },
        "labels": {
            "accuracy": figure, "ece": figure, "ece_confidence": plain, "ece_adaptive": plain, "ace": plain,
            "mce": plain, "brier": plain, "nll": plain,
        },
        "noise_floor": {"mean": "float", "low": "float", "high": "float"},
        "brier_parts": {"reliability": "float", "resolution": "float", "uncertainty": "float", "within": "float"},
    }  # fmt: skip
    assert list(found["models"][0]) == [
        "name", "trivial", "version", "slices", "raw", "pearson_of_difference", "mean_source_accuracy", "outliers",
        "best_of_n",
    ]  # fmt: skip
    assert shape(found["comparisons"][0]) == {
        "first": "str", "other": "str",
        "differences": [{
            "group": "str", "name": "str", "statistic": "str", "estimate": "float", "low": "float", "high": "float",
            "p_value": "float", "note": "NoneType",
        }],
        "williams": {"t": "float", "degrees": "int", "p_value": "float"}, "williams_note": "NoneType",
    }  # fmt: skip
