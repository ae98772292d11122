"""Generate the demo's preference data: prompts, answers, an annotator's label, ten judgements, and the truth."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from plurality.synthetic.families import FAMILIES, Family, Kind, Task
from plurality.synthetic.population import Population, make_population
from plurality.synthetic.writing import Answer
from service.bundle.files import replace_file

_TRIES = 10_000


@dataclass(frozen=True, slots=True)
class DemoDataConfig:
    """Sizes and seed. Splits are by prompt: no prompt is in two of them."""

    train_pairs: int = 2400
    validation_pairs: int = 300
    test_pairs: int = 600
    judgements: int = 10
    """n of arXiv 2412.03822, eq. 2-3."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DemoPair:
    """Two answers to one prompt, the sampled judgements, and the population's true preference."""

    id: str
    prompt: str
    response_a: str
    response_b: str
    label: int
    """One annotator's choice: 1 = a."""
    votes_a: int
    votes_b: int
    true_preference: float
    """p*: share of the population that prefers a."""
    source: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class DemoData:
    """The three splits."""

    train: Sequence[DemoPair]
    validation: Sequence[DemoPair]
    test: Sequence[DemoPair]


def generate(config: DemoDataConfig) -> DemoData:
    """The same data for the same configuration, on every machine."""
    rng = random.Random(f"pairs-{config.seed}")  # noqa: S311 - not a secret
    dice = np.random.default_rng([config.seed, 2])
    population = make_population(seed=config.seed)
    prompts: set[str] = set()
    sizes = {"train": config.train_pairs, "validation": config.validation_pairs, "test": config.test_pairs}

    def split(name: str) -> list[DemoPair]:
        families = [FAMILIES[i % len(FAMILIES)] for i in range(sizes[name])]
        return [
            _pair(rng, dice, population, prompts, config, f"{name}-{i:05d}", family)
            for i, family in enumerate(families)
        ]

    return DemoData(**{name: split(name) for name in sizes})


def to_row(pair: DemoPair) -> dict[str, Any]:
    """The canonical row (`plurality/core/rows.py`)."""
    return {
        "id": pair.id,
        "source": pair.source,
        "prompt": pair.prompt,
        "response_a": pair.response_a,
        "response_b": pair.response_b,
        "label": pair.label,
        "votes": {"a": pair.votes_a, "b": pair.votes_b},
        "category": pair.kind,
        "true_preference": pair.true_preference,
    }


def write_jsonl(data: DemoData, directory: Path) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl; each appears only when it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("train", "validation", "test"):
        pairs: Sequence[DemoPair] = getattr(data, name)
        lines = "".join(json.dumps(to_row(pair), sort_keys=True) + "\n" for pair in pairs)
        replace_file(directory / f"{name}.jsonl", lines.encode())


def _pair(
    rng: random.Random,
    dice: np.random.Generator,
    population: Population,
    prompts: set[str],
    config: DemoDataConfig,
    identity: str,
    family: Family,
) -> DemoPair:
    task = _new_task(rng, family, prompts)
    first_good = rng.random() < 0.5
    a, b = _two_answers(rng, task, first_good)
    chances = population.choice_probabilities(a.attributes, b.attributes)
    label = int(dice.random() < chances[dice.integers(len(chances))])
    judges = dice.choice(len(chances), config.judgements, replace=False)
    votes_a = int((dice.random(config.judgements) < chances[judges]).sum())
    return DemoPair(
        id=identity,
        prompt=task.prompt,
        response_a=a.text,
        response_b=b.text,
        label=label,
        votes_a=votes_a,
        votes_b=config.judgements - votes_a,
        true_preference=float(chances.mean()),
        source=family.name,
        kind=family.kind,
    )


def _new_task(rng: random.Random, family: Family, used: set[str]) -> Task:
    for _ in range(_TRIES):
        task = family.make(rng)
        if task.prompt not in used:
            used.add(task.prompt)
            return task
    raise ValueError(f"family {family.name} has no more new prompts; ask for fewer pairs")


def _two_answers(rng: random.Random, task: Task, first_good: bool) -> tuple[Answer, Answer]:
    for _ in range(_TRIES):
        a, b = task.answer(rng, first_good), task.answer(rng, not first_good)
        if a.text != b.text:
            return a, b
    raise ValueError("a task has only one answer")
