"""PRISM (arXiv 2404.16019), utterances: up to four answers to one message of one person, each rated 1 to 100.

Pairs are made within a turn of a conversation, never across (sliders of different turns do not compare). The context
of a later turn is what was said before: each earlier message with the answer that was chosen. Traps: an empty answer
is stored as `EMPTY STRING`; `if_chosen` marks several answers of some turns (27,437 of 27,172 turns, codebook), so
that what was said before is not known; a person's many conversations are no independent raters (`user` is in the
details).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from plurality.core.rows import Turn
from plurality.training.loaders.collect import Collector, Loaded, Record, number_of, numbered, preferred, text_of

EMPTY = "EMPTY STRING"
UNKNOWN_HISTORY = "an earlier turn has no single chosen answer"
Turns = dict[int, list[Record]]


def rows(records: Iterable[Record], *, source: str = "prism") -> Loaded:
    """Records: {conversation_id, turn, user_prompt, model_response, model_name, score, if_chosen, user_id, ...}."""
    out = Collector(source)
    conversations: dict[str, Turns] = defaultdict(lambda: defaultdict(list))
    for number, record in numbered(records):
        with out.record(number):
            for name in ("user_prompt", "model_response", "utterance_id", "user_id"):
                text_of(record, name)
            number_of(record, "score")
            conversations[text_of(record, "conversation_id")][int(number_of(record, "turn"))].append(record)
    for identity, turns in conversations.items():
        _conversation(out, identity, turns)
    return out.finish()


def _conversation(out: Collector, identity: str, turns: Turns) -> None:
    for turn, answers in sorted(turns.items()):
        pairs = list(combinations(sorted(answers, key=lambda answer: str(answer["utterance_id"])), 2))
        out.note("turns with a single answer", not pairs)
        history = _history(turns, turn)
        if history is None:
            out.drop(UNKNOWN_HISTORY, len(pairs))
            continue
        for first, second in pairs:
            _pair(out, f"{identity}/{turn}", identity, history, (first, second))


def _history(turns: Mapping[int, Sequence[Record]], turn: int) -> tuple[Turn, ...] | None:
    """The conversation up to this turn's message; None where it cannot be known."""
    said: list[Turn] = []
    for earlier in range(min(turns), turn):
        chosen = [answer for answer in turns.get(earlier, []) if answer.get("if_chosen") is True]
        if len(chosen) != 1 or chosen[0]["model_response"] == EMPTY:
            return None
        said += [_user(chosen[0]), Turn(role="assistant", content=chosen[0]["model_response"])]
    return (*said, _user(turns[turn][0]))


def _user(record: Record) -> Turn:
    return Turn(role="user", content=record["user_prompt"])


def _pair(out: Collector, prefix: str, group: str, history: tuple[Turn, ...], answers: tuple[Record, Record]) -> None:
    first, second = answers
    texts = ["" if answer["model_response"] == EMPTY else answer["model_response"] for answer in answers]
    scores = float(first["score"]), float(second["score"])
    out.pair(
        f"{prefix}/{first['utterance_id']}-{second['utterance_id']}",
        history,
        (texts[0], texts[1]),
        label=preferred(*scores),
        category=first.get("conversation_type"),
        group=group,
        details={"user": first["user_id"]},
        sides={"score": scores, "model": (first.get("model_name"), second.get("model_name"))},
    )
