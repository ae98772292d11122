"""Human votes of the QLoRA paper (arXiv 2305.14314, MIT) on answers to the 80 Vicuna questions.

Records are of three files: questions, generations and votes of three crowd workers a pair; `score` 1 is the first
model, 2 the second, 3 a tie. Traps: Guanaco's answers are in `generation`, its `text` is the question; these 80
questions are AlpacaEval's part `vicuna` too; the log length ratio correlates 0.58 with the votes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from plurality.core.rows import Votes
from plurality.training.loaders.collect import (
    Collector,
    Loaded,
    Record,
    WrongRecord,
    field_of,
    number_of,
    numbered,
    text_of,
)

Pair = tuple[int, str, str]
MISSING = "question or answer is missing from the files"


@dataclass(slots=True)
class _Texts:
    """Questions and answers, as the files hold them."""

    questions: dict[int, Record] = field(default_factory=dict)
    answers: dict[tuple[int, str], str] = field(default_factory=dict)

    def add(self, question: int, record: Record) -> None:
        """A record of generations, or of questions."""
        if "_model" in record:
            name = "generation" if "generation" in record else "text"
            self.answers[question, text_of(record, "_model")] = text_of(record, name).strip()
        else:
            text_of(record, "text")
            self.questions[question] = record


def rows(records: Iterable[Record], *, source: str = "vicuna80") -> Loaded:
    """Records: {question_id, category, text}, {question_id, _model, text | generation}, {question_id, _model1, ...}."""
    out, texts = Collector(source), _Texts()
    votes: dict[Pair, Counter[int]] = defaultdict(Counter)
    for number, record in numbered(records):
        with out.record(number):
            question = int(number_of(record, "question_id"))
            if "_model1" not in record:
                texts.add(question, record)
                continue
            votes[question, text_of(record, "_model1"), text_of(record, "_model2")][_score(record)] += 1
    for pair, counts in votes.items():
        _add(out, pair, counts, texts)
    return out.finish()


def _score(record: Record) -> int:
    score = field_of(record, "score")
    if score not in (1, 2, 3):
        raise WrongRecord("score is none of 1, 2, 3")
    return int(score)


def _add(out: Collector, pair: Pair, counts: Counter[int], texts: _Texts) -> None:
    question, first, second = pair
    if question not in texts.questions or not {(question, first), (question, second)} <= set(texts.answers):
        out.drop(MISSING)
    else:
        out.pair(
            f"{question}/{first}-{second}",
            texts.questions[question]["text"].strip(),
            (texts.answers[question, first], texts.answers[question, second]),
            votes=Votes(a=counts[1], b=counts[2], tie=counts[3]),
            category=texts.questions[question].get("category"),
            sides={"model": (first, second)},
        )
