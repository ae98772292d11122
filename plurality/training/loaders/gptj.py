"""synthetic-instruct-gptj-pairwise: an instruct model's answer against one of GPT-J.

Nobody judged: "chosen" is whoever wrote it, and seed models reach 99.9 % on it. Trap: the prompt was left
out in the training of arXiv 2412.03822; chosen always stands first.
"""

from collections.abc import Iterable

from plurality.training.loaders.collect import Collector, Loaded, Record, numbered, text_of


def rows(records: Iterable[Record], *, source: str = "gptj-synthetic") -> Loaded:
    """Records: {prompt, chosen, rejected}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            answers = text_of(record, "chosen"), text_of(record, "rejected")
            out.pair(str(number), text_of(record, "prompt").strip(), answers, label=1.0)
    return out.finish()
