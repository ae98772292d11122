"""UKPConvArg1 (Habernal and Gurevych, ACL 2016): which of two arguments for one side of a debate convinces more.

Five crowd workers a pair: a1, a2, equal. All votes are kept, also where the set's own gold label is missing. The set
has no prompt: ours asks for an argument for that side. Arguments recur in many pairs, and a debate has two sides: both
sides stay together (`group`).
"""

from collections import Counter
from collections.abc import Iterable

from plurality.core.rows import Votes
from plurality.training.loaders.collect import (
    Collector,
    Loaded,
    Record,
    WrongRecord,
    field_of,
    list_of,
    numbered,
    text_of,
)

PROMPT = "Debate: {title}\nGive a convincing argument for this side: {stance}"
_VALUES = {"a1", "a2", "equal"}


def rows(records: Iterable[Record], *, source: str = "ukpconvarg1") -> Loaded:
    """Records: {id, _source_file, debateMetaData, arg1, arg2, mTurkAssignments, goldLabel}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            votes = Counter(text_of(vote, "value") for vote in list_of(record, "mTurkAssignments"))
            if not set(votes) <= _VALUES or not votes:
                raise WrongRecord("a vote is none of a1, a2, equal")
            title, stance = text_of(record, "debateMetaData", "title"), text_of(record, "arg1", "stance")
            if stance != text_of(record, "arg2", "stance"):
                raise WrongRecord("the arguments are for different sides")
            out.note("no gold label upstream, votes used", field_of(record, "goldLabel") is None)
            out.pair(
                text_of(record, "id"),
                PROMPT.format(title=title.strip(), stance=stance.strip()),
                (text_of(record, "arg1", "text").strip(), text_of(record, "arg2", "text").strip()),
                votes=Votes(a=votes["a1"], b=votes["a2"], tie=votes["equal"]),
                category="argument",
                group=text_of(record, "_source_file").partition("_")[0],
            )
    return out.finish()
