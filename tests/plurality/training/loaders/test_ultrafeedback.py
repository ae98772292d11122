"""UltraFeedback: aspects decide, and an overall 10 that was a 1 is never the best answer."""

from typing import Any

import pytest

from plurality.training.loaders import ultrafeedback as uf
from tests.plurality.training.loaders.pairs import outcomes, side


def answer(name: str, ratings: tuple[Any, Any, Any, Any], overall: Any) -> dict[str, Any]:
    annotations = {aspect: {"Rating": rating} for aspect, rating in zip(uf.ASPECTS, ratings, strict=True)}
    return {"model": f"m-{name}", "response": name, "annotations": annotations, "overall_score": overall}


def record(*answers: dict[str, Any]) -> dict[str, Any]:
    return {"source": "false_qa", "instruction": "Explain.", "completions": list(answers), "models": []}


GOOD, BAD = answer("good", ("5", "4", "5", "4"), 8.5), answer("bad", ("1", "2", "1", "1"), 10)
MIDDLING = answer("so-so", ("3", "3", "3", "3"), 10)


def test_aspects_decide() -> None:
    """By default the mean of the four aspects is the score: the buggy 10 does not count."""
    loaded = uf.rows([record(GOOD, BAD)])
    assert outcomes(loaded) == [(frozenset(("good", "bad")), "good")]
    [row] = loaded.rows
    assert (row.category, loaded.details[row.id][f"score_{side(row, 'good')}"]) == ("false_qa", 4.5)


def test_overall_ten_is_checked() -> None:
    """With the overall score, a 10 on bad aspects is the 1 that it was, and one on middling aspects is not used."""
    loaded = uf.rows([record(GOOD, BAD, MIDDLING)], score="overall")
    assert outcomes(loaded) == [(frozenset(("good", "bad")), "good")]
    assert loaded.dropped == {uf.DOUBTFUL: 2}
    assert loaded.notes == {uf.REPAIRED: 1}


def test_true_ten_stays() -> None:
    """A 10 on good aspects is a 10."""
    best = answer("best", ("5", "5", "5", "5"), 10)
    assert outcomes(uf.rows([record(GOOD, best)], score="overall"))[0][1] == "best"


def test_all_pairs_and_ties() -> None:
    """Four answers are six pairs; equal means are ties."""
    loaded = uf.rows([record(GOOD, BAD, MIDDLING, answer("other", ("4", "5", "4", "5"), 7))])
    assert len(loaded.rows) == 6
    assert (frozenset(("good", "other")), None) in outcomes(loaded)


@pytest.mark.parametrize("score", ["aspects", "overall"])
def test_unrated_answers_are_dropped(score: uf.Score) -> None:
    """N/A in some aspects leaves the mean of the others; in all of them, and without a score, the pair is dropped."""
    partly, never = answer("partly", ("N/A", "1", None, "1"), 2), answer("never", ("N/A",) * 4, "N/A")
    loaded = uf.rows([record(GOOD, partly, never)], score=score)
    assert outcomes(loaded) == [(frozenset(("good", "partly")), "good")]
    assert loaded.dropped == {uf.NO_SCORE: 2}


def test_without_annotations() -> None:
    """An answer without annotations has no aspects, and its 10 cannot be checked."""
    bare = answer("bare", ("5",) * 4, 10) | {"annotations": None}
    assert uf.rows([record(GOOD, bare)]).dropped == {uf.NO_SCORE: 1}
    assert uf.rows([record(GOOD, bare)], score="overall").dropped == {uf.DOUBTFUL: 1}
