"""GPT-4 judgements of AlpacaEval (CC-BY-NC-4.0): several judges on the same pairs, and eight runs of one.

`preference` is 1 for output_1, 2 for output_2, 1.5 a tie; between them it is a probability (weighted judges):
P(output_1) = 2 - preference. 0 was a tie in an old version and is dropped. Judgements of one pair become one row:
votes where all are hard, else their mean as label and its |2q - 1| as margin. Traps: output_1 is always the baseline;
805 prompts only; the prompts of some parts are those of other sets (`category` tells the part).
"""

from collections import defaultdict
from collections.abc import Iterable

from plurality.core.rows import Votes
from plurality.training.loaders.collect import Collector, Loaded, Record, number_of, numbered, text_of

OLD_TIE = "judgements left out: preference 0, a tie in an old version"
REPEATED = "judgements left out: the same judge, the same pair again"
NO_JUDGEMENT = "no judgement of the pair can be used"
Key = tuple[str, str, str]


def rows(records: Iterable[Record], *, source: str = "alpaca-eval") -> Loaded:
    """Records: {instruction, input?, output_1, output_2, annotator, preference, dataset?, generator_1?, ..._2?}."""
    out = Collector(source)
    judged: dict[Key, dict[str, float]] = defaultdict(dict)
    first: dict[Key, Record] = {}
    for number, record in numbered(records):
        with out.record(number):
            key = _prompt(record), text_of(record, "output_1"), text_of(record, "output_2")
            first.setdefault(key, record)
            preference = number_of(record, "preference")
            judge = f"{record.get('_file', '')}:{text_of(record, 'annotator')}"
            out.note(OLD_TIE, preference == 0)
            out.note(REPEATED, judge in judged[key])
            if preference != 0:
                judged[key].setdefault(judge, 2.0 - preference)
    for number, (key, judgements) in enumerate(judged.items(), start=1):
        _add(out, number, key, first[key], judgements)
    return out.finish()


def _add(out: Collector, number: int, key: Key, record: Record, judgements: dict[str, float]) -> None:
    if not judgements:
        out.drop(NO_JUDGEMENT)
        return
    shares = list(judgements.values())
    votes, mean = None, sum(shares) / len(shares)
    if set(shares) <= {0.0, 0.5, 1.0}:
        votes = Votes(a=shares.count(1.0), b=shares.count(0.0), tie=shares.count(0.5))
    out.pair(
        str(number),
        key[0],
        key[1:],
        label=None if votes else mean,
        votes=votes,
        margin=None if votes else abs(2 * mean - 1),
        category=record.get("dataset"),
        details={"judges": len(shares)},
        sides={"model": (record.get("generator_1"), record.get("generator_2"))},
    )


def _prompt(record: Record) -> str:
    """The instruction with its input, if there is one, as AlpacaFarm shows it to the judge."""
    extra = record.get("input") or ""
    return "\n\n".join(part for part in (text_of(record, "instruction").strip(), extra.strip()) if part)
