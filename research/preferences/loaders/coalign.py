"""Pairs of Meta's Community Alignment (arXiv 2507.09650, CC-BY-4.0): 3 to 27 people each picked the best of four
answers.

The votes of a pair are the people who picked one of its two answers: p = n0 / (n0 + n1), given that one of them was
picked; not a direct comparison. Six pairs of one prompt are not independent. Traps: the answer's letter carries style
(D: lists) and correlates 0.57 with p, so it is never part of a row; pairs that nobody picked from say nothing and are
dropped.
"""

from collections.abc import Iterable

from plurality.core.rows import Votes
from plurality.training.loaders.collect import Collector, Loaded, Record, number_of, numbered, text_of

NOBODY = "nobody picked either answer"


def rows(records: Iterable[Record], *, source: str = "community-alignment") -> Loaded:
    """Records: {set_id, situation, action_0_description, action_1_description, n_annotators_pref_0, ..._1, ..._set}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            counts = [int(number_of(record, f"n_annotators_pref_{side}")) for side in (0, 1)]
            if not any(counts):
                out.drop(NOBODY)
                continue
            out.pair(
                str(number),
                text_of(record, "situation").strip(),
                (text_of(record, "action_0_description").strip(), text_of(record, "action_1_description").strip()),
                votes=Votes(a=counts[0], b=counts[1]),
                group=text_of(record, "set_id"),
                details={"raters": int(number_of(record, "n_annotators_set"))},
            )
    return out.finish()
