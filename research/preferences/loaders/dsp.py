"""General preferences of arXiv 2309.03126 (DSP, CC-BY-NC-4.0), as MORE trains on them.

`helpful`: HH dialogues as [better, worse]. `webgpt`: graded scores that sum to 2, 1 : 1 a tie.
"""

from collections.abc import Iterable

from plurality.training.loaders import hh
from plurality.training.loaders.collect import (
    Collector,
    Loaded,
    Record,
    WrongRecord,
    list_of,
    numbered,
    preferred,
)  # fmt: skip

_QUESTION, _ANSWER = "## Human:\n", "\n\n## Assistant:\n"
OTHER_QUESTION = "the two answers are to different questions"


def helpful_rows(records: Iterable[Record], *, source: str = "dsp-helpful") -> Loaded:
    """Records: {text: [2 dialogues], score: [2]}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            texts, scores = _pair(record)
            hh.add(out, str(number), texts[0], texts[1], preferred(*scores))
    return out.finish()


def webgpt_rows(records: Iterable[Record], *, source: str = "dsp-webgpt") -> Loaded:
    """Records: {text: [2 x "## Human: ... ## Assistant: ..."], score: [2]}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            texts, scores = _pair(record)
            (question, first), (other, second) = _cut(texts[0]), _cut(texts[1])
            if question != other:
                out.drop(OTHER_QUESTION)
                continue
            strength = abs(scores[0] - scores[1]) / 2
            out.pair(str(number), question, (first, second), label=preferred(*scores), details={"strength": strength})
    return out.finish()


def _pair(record: Record) -> tuple[tuple[str, str], tuple[float, float]]:
    texts, scores = list_of(record, "text"), list_of(record, "score")
    if len(texts) != 2 or len(scores) != 2 or not all(isinstance(text, str) for text in texts):
        raise WrongRecord("text and score do not hold two each")
    if not all(isinstance(score, int | float) for score in scores):
        raise WrongRecord("score is not two numbers")
    return (texts[0], texts[1]), (float(scores[0]), float(scores[1]))


def _cut(text: str) -> tuple[str, str]:
    head, found, answer = text.partition(_ANSWER)
    if not found or not head.startswith(_QUESTION):
        raise WrongRecord("text is not a question and an answer")
    return head.removeprefix(_QUESTION).strip(), answer.strip()
