"""Human votes of the QLoRA paper (arXiv 2305.14314) on answers to the 80 Vicuna questions, and LLM judges on the same.

Records are of three files: questions, generations and judgements; `score` 1 is the first model, 2 the second, 3 a tie,
-1 a review that was not parsed. Three crowd workers judged each pair; the LLM judges saw each pair in both orders.
Traps: Guanaco's answers are in `generation`, its `text` is the question; many reviews of the judge `gpt4` are those of
`gpt4-qlora`, word for word, and count once; these 80 questions are AlpacaEval's part `vicuna` too.
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
UNPARSED = "reviews left out: not parsed"
REPEATED = "reviews left out: the same words about the same answers in the same order"
NO_REVIEW = "no review of the pair can be used"
_SWAPPED = {1: 2, 2: 1, 3: 3}


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


def judge_rows(records: Iterable[Record], *, source: str = "vicuna80-judges") -> Loaded:
    """Records as of `rows`, with reviews {question_id, _judge, _model1, _model2, text, score} instead of votes."""
    out, texts = Collector(source), _Texts()
    votes: dict[Pair, Counter[int]] = defaultdict(Counter)
    seen: set[tuple[int, str, str, str]] = set()
    for number, record in numbered(records):
        with out.record(number):
            question = int(number_of(record, "question_id"))
            if "_judge" not in record:
                texts.add(question, record)
                continue
            first, second = text_of(record, "_model1"), text_of(record, "_model2")
            counts = votes[question, min(first, second), max(first, second)]
            review = (question, first, second, text_of(record, "text").strip())
            if record.get("score") == -1 or review in seen:
                out.note(REPEATED if review in seen else UNPARSED)
                continue
            seen.add(review)
            counts[_score(record) if first < second else _SWAPPED[_score(record)]] += 1
    for pair, counts in votes.items():
        _add(out, pair, counts, texts)
    return out.finish()


def _score(record: Record) -> int:
    score = field_of(record, "score")
    if score not in _SWAPPED:
        raise WrongRecord("score is none of 1, 2, 3")
    return int(score)


def _add(out: Collector, pair: Pair, counts: Counter[int], texts: _Texts) -> None:
    question, first, second = pair
    if question not in texts.questions or not {(question, first), (question, second)} <= set(texts.answers):
        out.drop(MISSING)
    elif not counts:
        out.drop(NO_REVIEW)
    else:
        out.pair(
            f"{question}/{first}-{second}",
            texts.questions[question]["text"].strip(),
            (texts.answers[question, first], texts.answers[question, second]),
            votes=Votes(a=counts[1], b=counts[2], tie=counts[3]),
            category=texts.questions[question].get("category"),
            sides={"model": (first, second)},
        )
