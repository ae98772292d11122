"""FineGrainedRLHF's QA feedback (arXiv 2306.01693): four answers to a question, six pair labels of one person.

`preference` holds the pairs 1-2, 1-3, 1-4, 2-3, 2-4, 3-4: 1 the first, 2 the second, 0 a tie. The prompt is the
question alone: the passages that the answers draw on are about ten times as long.
"""

from collections.abc import Iterable
from itertools import combinations

from plurality.training.loaders.collect import Collector, Loaded, Record, WrongRecord, list_of, numbered, text_of

_LABELS = {0: 0.5, 1: 1.0, 2: 0.0}


def rows(records: Iterable[Record], *, source: str = "finegrained-qa") -> Loaded:
    """Records: {question, "prediction 1" .. "prediction 4", preference: [6]}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            question = text_of(record, "question")
            answers = [text_of(record, f"prediction {i}").strip() for i in range(1, 5)]
            choices = list_of(record, "preference")
            if len(choices) != 6 or not set(choices) <= set(_LABELS):
                raise WrongRecord("preference is not six of 0, 1, 2")
            for (i, j), choice in zip(combinations(range(4), 2), choices, strict=True):
                label = _LABELS[choice]
                out.pair(f"{number}/{i + 1}-{j + 1}", question, (answers[i], answers[j]), label=label)
    return out.finish()
