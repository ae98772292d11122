"""WebGPT comparisons (arXiv 2112.09332): two answers to a question, each with a score from -1 to 1.

The card: the answer with the positive score is preferred; 0 is "a soft 50% label". Trap: the code of arXiv 2412.03822
ignores the scores and calls answer_0 chosen, ties included. Answers keep their [1] references.
"""

from collections.abc import Iterable

from plurality.training.loaders.collect import (
    Collector,
    Loaded,
    Record,
    WrongRecord,
    field_of,
    number_of,
    numbered,
    preferred,
    text_of,
)  # fmt: skip


def rows(records: Iterable[Record], *, source: str = "webgpt") -> Loaded:
    """Records: {question: {dataset, id, full_text}, answer_0, answer_1, score_0, score_1, ...}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            question, origin = _question(record)
            scores = number_of(record, "score_0"), number_of(record, "score_1")
            if (scores[0] - scores[1]) * scores[0] < 0:
                raise WrongRecord("score_0 and score_1 do not sum to 0")
            out.pair(
                str(number),
                question,
                (text_of(record, "answer_0"), text_of(record, "answer_1")),
                label=preferred(*scores),
                category=origin,
                details={"strength": abs(scores[0])},
            )
    return out.finish()


def _question(record: Record) -> tuple[str, str | None]:
    """Text and origin; the CSV export on the hub has the text alone."""
    if isinstance(field_of(record, "question"), str):
        return text_of(record, "question"), None
    return text_of(record, "question", "full_text"), text_of(record, "question", "dataset")
