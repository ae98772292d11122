"""WebGPT: the score decides, a score of 0 is a tie, and the question is the prompt."""

from typing import Any

import pytest

from plurality.training.errors import DataError
from plurality.training.loaders import webgpt
from tests.plurality.training.loaders.pairs import outcomes


def record(score: float, **changes: Any) -> dict[str, Any]:
    question = {"dataset": "made-up", "id": "q1", "full_text": "Why is glass clear?"}
    base = {"question": question, "answer_0": "Because [1].", "answer_1": "Magic.", "score_0": score, "score_1": -score}
    return base | changes


@pytest.mark.parametrize(("score", "expected"), [(1.0, "Because [1]."), (-0.25, "Magic."), (0.0, None)])
def test_score_decides(score: float, expected: str | None) -> None:
    """Not answer_0 whatever the score; and 0 is a tie, not a win."""
    loaded = webgpt.rows([record(score)])
    assert outcomes(loaded) == [(frozenset(("Because [1].", "Magic.")), expected)]
    assert loaded.notes["ties kept, label 0.5"] == (score == 0)


def test_question_is_the_prompt() -> None:
    """Answers are not trained without their question; origin and strength are kept."""
    loaded = webgpt.rows([record(-0.5)])
    [row] = loaded.rows
    assert (row.prompt, row.category, loaded.details[row.id]) == ("Why is glass clear?", "made-up", {"strength": 0.5})


def test_question_as_text() -> None:
    """An export where the question is a plain text reads as well."""
    assert webgpt.rows([record(1.0, question="Why?")]).rows[0].prompt == "Why?"


def test_scores_must_oppose() -> None:
    """Scores that do not sum to 0 are another schema; missing ones too."""
    wrong = record(0.5)
    del wrong["score_1"]
    with pytest.raises(DataError) as caught:
        webgpt.rows([record(0.5, score_1=0.75), wrong])
    assert [row.line for row in caught.value.rows] == [1, 2]
