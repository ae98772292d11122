"""OASST1 (arXiv 2304.07327): conversation trees whose sibling answers people have ranked, 0 the best.

The hub holds flat messages, upstream's files hold trees; both are read. Pairs are all siblings with different ranks;
the context is the path from the root. Dropped and counted: answers that were deleted or failed review, everything
below such a message, siblings without a rank, languages not asked for. Equal ranks are ties. Answers of a model
(`synthetic`) were ranked by people like all others: they are kept and counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

from plurality.core.rows import Turn
from plurality.training.loaders.collect import Collector, Loaded, Record, field_of, numbered, preferred, text_of

DELETED, FAILED, UNRANKED = "an answer was deleted", "an answer failed review", "an answer has no rank"
LOST = "an earlier message was deleted, failed review or is missing"
ORPHANS = "the message they answer is missing"
Children = dict[str | None, list[Record]]


def rows(records: Iterable[Record], *, languages: Sequence[str] = (), source: str = "oasst1") -> Loaded:
    """Records: messages {message_id, parent_id, role, text, lang, rank, ...}, or trees {prompt: {..., replies}}."""
    out = Collector(source)
    children: Children = defaultdict(list)
    for number, record in numbered(records):
        with out.record(number):
            for message in _messages(record):
                text_of(message, "message_id"), text_of(message, "text"), text_of(message, "lang")
                parent = message.get("parent_id")
                children[parent if isinstance(parent, str) else None].append(message)
    known = {message["message_id"] for siblings in children.values() for message in siblings}
    for parent, siblings in list(children.items()):
        if parent not in known:
            if parent is not None:
                out.drop(ORPHANS, len(siblings) * (len(siblings) - 1) // 2)
            for root in siblings:
                _below(out, root, children, set(languages), whole=parent is None)
    return out.finish()


def _messages(record: Record) -> Iterator[Record]:
    """The messages of a tree, or the one that the record is."""
    if "message_id" in record:
        yield record
        return
    open_messages = [field_of(record, "prompt")]
    while open_messages:
        message = open_messages.pop()
        replies = field_of(message, "replies") if "replies" in message else []
        yield {name: value for name, value in message.items() if name != "replies"}
        open_messages += [{"parent_id": message.get("message_id")} | dict(reply) for reply in replies]


def _below(out: Collector, root: Record, children: Children, languages: set[str], *, whole: bool) -> None:
    """All pairs of one tree, without recursion: trees may be deep."""
    tree = str(root["message_id"])
    open_messages: list[tuple[Record, tuple[Turn, ...], bool]] = [(root, (), whole)]
    while open_messages:
        message, before, intact = open_messages.pop()
        path = (*before, Turn(role=_role(message), content=message["text"]))
        intact = intact and not _problem(message)
        replies = sorted(children.get(message["message_id"], []), key=lambda reply: str(reply["message_id"]))
        if message.get("role") == "prompter":
            for first, second in combinations(replies, 2):
                _pair(out, tree, path if intact else None, (first, second), languages)
            out.note("messages with a single answer", len(replies) == 1)
        open_messages += [(reply, path, intact) for reply in replies]


def _pair(
    out: Collector, tree: str, path: tuple[Turn, ...] | None, answers: tuple[Record, Record], languages: set[str]
) -> None:
    first, second = answers
    problem = LOST if path is None else _problem(first) or _problem(second)
    language = str(first["lang"])
    if not problem and languages and language not in languages:
        problem = f"language {language} was not asked for"
    ranks: list[Any] = [first.get("rank"), second.get("rank")]
    if not problem and None in ranks:
        problem = UNRANKED
    if problem or path is None:
        out.drop(problem or LOST)
        return
    synthetic = bool(first.get("synthetic")), bool(second.get("synthetic"))
    out.note("pairs with a synthetic answer", any(synthetic))
    out.pair(
        f"{first['message_id']}-{second['message_id']}",
        path,
        (first["text"], second["text"]),
        label=preferred(-float(ranks[0]), -float(ranks[1])),
        category=language,
        group=tree,
        sides={"rank": (int(ranks[0]), int(ranks[1])), "synthetic": synthetic},
    )


def _problem(message: Record) -> str | None:
    if message.get("deleted"):
        return DELETED
    return FAILED if message.get("review_result") is False else None


def _role(message: Record) -> Any:
    return "user" if message.get("role") == "prompter" else "assistant"
