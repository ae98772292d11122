"""UltraFeedback (arXiv 2310.01377): four models' answers to an instruction, rated by GPT-4 in four aspects and
overall.

Trap: `overall_score` was parsed so that "1" could become 10; thousands of bad answers carry the best score (reported
by Argilla; fixed upstream in part). By default an answer's score is the mean of its four aspect ratings, as in
Argilla's cleaned set. With `score="overall"` a 10 is checked against that mean as upstream's correction does: <= 2
means it was 1; between 2 and 4 nobody can tell, and the pairs of that answer are dropped. The answers were made under
different system prompts, which the judge did not see: they are not part of the prompt. `category` tells truthful_qa, a
benchmark, apart.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import Any, Literal

from plurality.training.loaders.collect import Collector, Loaded, Record, numbered, objects_of, preferred, text_of

Score = Literal["aspects", "overall"]
ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")
NO_SCORE = "an answer has no usable rating"
DOUBTFUL = "overall_score 10 against middling aspects: may have been 1"
REPAIRED = "overall_score 10 against bad aspects, taken as the 1 that it was"


def rows(records: Iterable[Record], *, score: Score = "aspects", source: str = "ultrafeedback") -> Loaded:
    """Records: {source, instruction, completions: [{model, response, annotations, overall_score}]}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            _add(out, number, record, score)
    return out.finish()


def _add(out: Collector, number: int, record: Record, score: Score) -> None:
    instruction = text_of(record, "instruction")
    answers = objects_of(record, "completions")
    scored = [_score(out, answer, score) for answer in answers]
    for (i, first), (j, second) in combinations(enumerate(answers), 2):
        values = scored[i], scored[j]
        if problem := next((value for value in values if isinstance(value, str)), None):
            out.drop(problem)
            continue
        pair = float(values[0]), float(values[1])
        out.pair(
            f"{number}/{i}-{j}",
            instruction,
            (text_of(first, "response"), text_of(second, "response")),
            label=preferred(*pair),
            category=record.get("source"),
            sides={"score": pair, "model": (first.get("model"), second.get("model"))},
        )


def _score(out: Collector, answer: Record, score: Score) -> float | str:
    """The answer's score, or the reason why it has none."""
    aspects = aspect_mean(answer)
    overall = _number(answer.get("overall_score"))
    if score == "aspects":
        return NO_SCORE if aspects is None else aspects
    if overall is None:
        return NO_SCORE
    if overall < 10:
        return overall
    if aspects is None or 2 < aspects <= 4:
        return DOUBTFUL
    out.note(REPAIRED, aspects <= 2)
    return 1.0 if aspects <= 2 else overall


def aspect_mean(answer: Record) -> float | None:
    """Mean of the aspects that were rated; GPT-4 left some at N/A."""
    annotations = answer.get("annotations") or {}
    ratings = [_number((annotations.get(aspect) or {}).get("Rating")) for aspect in ASPECTS]
    rated = [rating for rating in ratings if rating is not None]
    return sum(rated) / len(rated) if rated else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
