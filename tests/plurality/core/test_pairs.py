"""The key of a prompt, wherever pairs of one prompt must stay together."""

import numpy as np

from model_export.fit_calibration import cross_validate
from plurality.core.pairs import Message, ResponsePair, prompt_key
from plurality.evaluation.baselines import folds
from plurality.evaluation.sample import make_sample
from plurality.training.split import split
from service.experiments.rows import Rows
from tests.plurality.training.data import row

SPELLINGS = ("Is it late?", "  is IT\nlate? ", "Is it late\uff1f")


def test_items_of_a_pair() -> None:
    """Both responses, each with the prompt."""
    pair = ResponsePair((Message("user", "p"),), "a", "b")
    assert [(item.prompt, item.response) for item in pair.items] == [(pair.prompt, "a"), (pair.prompt, "b")]


def test_one_key_for_all_spellings() -> None:
    """Spaces, case and compatibility forms are not another prompt: not for splits, folds, bootstraps nor reports."""
    rows = [row(id=str(i), prompt=prompt) for i, prompt in enumerate([*SPELLINGS, "Is it early?"])]
    assert len({prompt_key(prompt) for prompt in SPELLINGS}) == 1
    assert prompt_key("Is it early?") != prompt_key(SPELLINGS[0])
    assert len(set(folds(rows[:3]))) == 1
    assert len(set(make_sample(rows).prompts)) == 2
    assert sorted(len(part) for part in split(rows[:3], (1.0, 0.0, 0.0)).values()) == [0, 0, 3]
    nothing = np.zeros(4)
    votes = Rows([(r.context, "a", "b") for r in rows], nothing, nothing, nothing)
    assert len(set(votes.prompts)) == 2


def test_calibration_folds_keep_spellings_together() -> None:
    """All pairs on one prompt are one fold, whatever its spelling: there are then no other folds to fit on."""
    rng = np.random.default_rng(0)
    difference = rng.normal(0, 2, 300)
    label = (rng.random(300) < 1 / (1 + np.exp(-difference))).astype(float)
    assert cross_validate(difference, label, [f"prompt {i}" for i in range(300)])
    assert cross_validate(difference, label, ["Is it late?" + " " * (i % 50) for i in range(300)]) == {}
