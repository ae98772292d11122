"""Summarize-from-feedback, comparisons (arXiv 2009.01325): two summaries of a Reddit post, or of a CNN/DM article.

Traps: the post is in `info`, not in the summaries; articles have `article` where posts have `post`; several workers
judge the same pair in the evaluation batches (`training.split.deduplicate` turns them into votes). Worker, policies,
batch, the set's own split (valid1 selected its authors' models, valid2 evaluated them) and confidence (1 to 9) are
kept as details.
"""

from collections.abc import Iterable

from plurality.training.loaders.collect import (
    Collector,
    Loaded,
    Record,
    WrongRecord,
    field_of,
    numbered,
    objects_of,
    text_of,
)

_POST = "SUBREDDIT: r/{subreddit}\nTITLE: {title}\nPOST: {post}\nTL;DR:"
_ARTICLE = "TITLE: {title}\nARTICLE: {article}\nTL;DR:"


def rows(records: Iterable[Record], *, source: str = "summarize") -> Loaded:
    """Records: {info, summaries: [2 x {text, policy}], choice, worker, batch, split, extra: {confidence}}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            _add(out, number, record)
    return out.finish()


def _add(out: Collector, number: int, record: Record) -> None:
    summaries = objects_of(record, "summaries")
    choice = field_of(record, "choice")
    if len(summaries) != 2 or choice not in {0, 1}:
        raise WrongRecord("choice is not one of two summaries")
    category, prompt = _prompt(record)
    extra = record.get("extra") or {}
    policies = (summaries[0].get("policy"), summaries[1].get("policy"))
    details = {name: record.get(name) for name in ("worker", "batch", "split")}
    out.pair(
        str(number),
        prompt,
        (text_of(summaries[0], "text").strip(), text_of(summaries[1], "text").strip()),
        label=1.0 - choice,
        category=category,
        group=text_of(record, "info", "id"),
        details=details | {"confidence": extra.get("confidence")},
        sides={"policy": policies},
    )
    out.note("no confidence given", extra.get("confidence") is None)
    out.note("the two summaries are of one policy", policies[0] == policies[1])


def _prompt(record: Record) -> tuple[str, str]:
    info = field_of(record, "info")
    if info.get("post") is not None:
        return "tldr", _POST.format(
            subreddit=info.get("subreddit") or "", title=info.get("title") or "", post=text_of(record, "info", "post")
        )
    article = text_of(record, "info", "article")
    return "cnndm", _ARTICLE.format(title=info.get("title") or "", article=article)
