"""The demo's data: its truth is the truth, its splits are apart, and shortcuts do not solve it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plurality.synthetic.baselines import Sides, bag_of_words, length_only, majority_accuracy
from plurality.synthetic.generate import DemoData, DemoDataConfig, DemoPair, generate, write_jsonl
from plurality.synthetic.population import attributes, make_population
from plurality.training.load import load_rows


@pytest.fixture(scope="module")
def data() -> DemoData:
    return generate(DemoDataConfig())


def everything(data: DemoData) -> list[DemoPair]:
    return [*data.train, *data.validation, *data.test]


def test_deterministic(data: DemoData) -> None:
    """The same seed gives the same pairs, another seed others."""
    assert generate(DemoDataConfig()) == data
    small = DemoDataConfig(train_pairs=20, validation_pairs=5, test_pairs=5, seed=1)
    assert generate(small).train[0] != data.train[0]


def test_splits_are_by_prompt(data: DemoData) -> None:
    """Sizes as asked; no prompt twice, in one split or in two."""
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2400, 300, 600]
    prompts = [pair.prompt for pair in everything(data)]
    assert len(set(prompts)) == len(prompts)


def test_true_preference_is_the_population_mean() -> None:
    """p* agrees with a simulation of the population's choices; swapping the answers gives 1 - p*."""
    population = make_population()
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.normal(0, 0.7, (2, 7))
        chances = population.choice_probabilities(a, b)
        drawn = rng.random((4000, len(chances))) < chances
        assert population.true_preference(a, b) == pytest.approx(drawn.mean(), abs=0.005)
        assert population.true_preference(a, b) + population.true_preference(b, a) == pytest.approx(1.0)
    assert population.mean_utility(attributes(correct=1)) > population.mean_utility(attributes())


def test_labels_and_votes_follow_the_truth(data: DemoData) -> None:
    """Label and vote means by decile of p* lie within four standard errors of it."""
    pairs = everything(data)
    for low in np.arange(0, 1, 0.1):
        chosen = [pair for pair in pairs if low <= pair.true_preference < low + 0.1]
        expected = np.mean([pair.true_preference for pair in chosen])
        error = np.sqrt(expected * (1 - expected) / len(chosen))
        assert abs(np.mean([pair.label for pair in chosen]) - expected) < 4 * error
        assert abs(np.mean([pair.votes_a / 10 for pair in chosen]) - expected) < 4 * error
    assert all(pair.votes_a + pair.votes_b == 10 for pair in pairs)


def test_objective_is_decided_subjective_is_not(data: DemoData) -> None:
    """Nearly all objective pairs have a right answer for nearly all; subjective ones spread."""
    decided = {
        kind: np.mean([abs(p.true_preference - 0.5) > 0.35 for p in data.test if p.kind == kind])
        for kind in ("objective", "subjective")
    }
    assert decided["objective"] > 0.9
    assert decided["subjective"] < 0.3


def test_texts(data: DemoData) -> None:
    """Printable, short, and mostly unique."""
    texts = [text for pair in everything(data) for text in (pair.response_a, pair.response_b)]
    assert all(text.isprintable() and text.isascii() for text in texts)
    assert max(len(f"{pair.prompt} {pair.response_a}".split()) for pair in everything(data)) <= 60
    assert len(set(texts)) / len(texts) > 0.75


def test_shortcuts_do_not_solve_it(data: DemoData) -> None:
    """Length and bags of words stay far below the truth, and cannot tell right from wrong answers."""
    objective = [i for i, pair in enumerate(data.test) if pair.kind == "objective"]
    for predicted in (length_only(data.train, data.test), bag_of_words(data.train, data.test)):
        assert majority_accuracy(predicted, data.test) < 0.68
        assert majority_accuracy(predicted[objective], [data.test[i] for i in objective]) < 0.6


@pytest.mark.parametrize(("baseline", "accuracy"), [(length_only, 0.590), (bag_of_words, 0.618)])
def test_shortcuts_of_the_readme(baseline: Callable[..., Sides], accuracy: float) -> None:
    """The demo's two lines for comparison are those that the README shows."""
    data = generate(DemoDataConfig(seed=0))
    assert f"{majority_accuracy(baseline(data.train, data.test), data.test):.3f}" == f"{accuracy:.3f}"


def test_rows_load(tmp_path: Path) -> None:
    """What is written is what the loader reads, with votes, category and p*."""
    data = generate(DemoDataConfig(train_pairs=20, validation_pairs=10, test_pairs=10))
    write_jsonl(data, tmp_path)
    rows = load_rows(tmp_path / "test.jsonl")
    assert [row.true_preference for row in rows] == [pair.true_preference for pair in data.test]
    assert [row.preference for row in rows] == [pair.votes_a / 10 for pair in data.test]
    assert json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])["source"] == "capitals"


def test_too_many_prompts_are_refused() -> None:
    """Prompts are never given twice: asking for more than there are is an error."""
    with pytest.raises(ValueError, match="no more new prompts"):
        generate(DemoDataConfig(train_pairs=200_000, validation_pairs=0, test_pairs=0))
