"""TRL-style preference sets, in the shapes that are around (TRL's guide "Dataset formats and types").

    prompt, chosen, rejected as texts, or each as messages, or a prompt text with whole conversations in the other two
    chosen and rejected alone, each a whole conversation (messages, or "\\n\\nHuman: ... \\n\\nAssistant: ..." text)
    optional: margin; score_chosen and score_rejected

Traps: an implicit prompt of plain texts cannot be told from answers that begin alike (TRL cuts at the last common
space): such pairs are dropped. Answers may repeat the prompt. Equal scores mean that "chosen" was drawn. A margin
column is used only where all of it lies in [0, 1], the scale of arXiv 2412.03822 eq. 3; other scales are kept as
details.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from plurality.core.rows import Turn
from plurality.training.loaders import hh
from plurality.training.loaders.collect import (
    Collector,
    Context,
    Loaded,
    Record,
    WrongRecord,
    field_of,
    number_of,
    numbered,
)

PLAIN = "plain texts without a prompt: prompt and answer cannot be told apart"
NO_TEXT = "a message is not text, or its role is none of system, user, assistant"
SEVERAL = "chosen and rejected differ in more than their last message"
NOT_ASSISTANT = "an answer is not the assistant's"
OTHER_PROMPT = "prompt and conversation do not agree"
SAME = "both answers are the same"
FOREIGN_MARGIN = "margin column left out (not all in [0, 1]); kept as detail"
REPEATED = "answers repeated the prompt, which was taken off"


class _Unusable(Exception):
    """The pair cannot be read; the message is the reason that is counted."""


def rows(records: Iterable[Record], *, source: str = "trl") -> Loaded:
    """Records as above."""
    out = Collector(source)
    kept = list(records)
    unit = all(_unit(record.get("margin")) for record in kept)
    for number, record in numbered(kept):
        with out.record(number):
            try:
                _add(out, number, record, unit=unit)
            except _Unusable as reason:
                out.drop(str(reason))
    return out.finish()


def _unit(margin: Any) -> bool:
    return margin is None or (isinstance(margin, int | float) and 0 <= margin <= 1)


def _add(out: Collector, number: int, record: Record, *, unit: bool) -> None:
    context, answers = _read(out, record)
    margin = record.get("margin")
    label, scores = 1.0, (record.get("score_chosen"), record.get("score_rejected"))
    if None not in scores:
        chosen, rejected = number_of(record, "score_chosen"), number_of(record, "score_rejected")
        label = 0.5 if chosen == rejected else 1.0
        out.note("the rejected answer has the higher score", chosen < rejected)
    out.note(FOREIGN_MARGIN, margin is not None and not unit)
    out.pair(
        str(record.get("id") or record.get("prompt_id") or number),
        context,
        answers,
        label=label,
        margin=float(margin) if margin is not None and unit else None,
        details={} if margin is None else {"margin": margin},
        sides={} if None in scores else {"score": scores},
    )


def _read(out: Collector, record: Record) -> tuple[Context, tuple[str, str]]:
    prompt, chosen, rejected = record.get("prompt"), field_of(record, "chosen"), field_of(record, "rejected")
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _texts(out, prompt, chosen, rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise WrongRecord("one of chosen and rejected is a text, the other is not")
    return _conversations(prompt, _turns(chosen), _turns(rejected))


def _texts(out: Collector, prompt: Any, chosen: str, rejected: str) -> tuple[Context, tuple[str, str]]:
    if prompt is None:
        return _dialogue(chosen, rejected)
    if not isinstance(prompt, str):
        return tuple(_turns(prompt)), (chosen.strip(), rejected.strip())
    if prompt.strip() and chosen.startswith(prompt) and rejected.startswith(prompt):
        out.note(REPEATED)
        chosen, rejected = chosen.removeprefix(prompt), rejected.removeprefix(prompt)
    if prompt.lstrip().startswith("Human:") and prompt.rstrip().endswith("Assistant:"):
        return _dialogue(f"{prompt.rstrip()} {chosen.lstrip()}", f"{prompt.rstrip()} {rejected.lstrip()}")
    return prompt.strip(), (chosen.strip(), rejected.strip())


def _dialogue(chosen: str, rejected: str) -> tuple[Context, tuple[str, str]]:
    """Two whole dialogues in the format of HH."""
    if not chosen.lstrip().startswith("Human:"):
        raise _Unusable(PLAIN)
    turns = hh.parse(chosen), hh.parse(rejected)
    if not (turns[0] and turns[1]):
        raise _Unusable(hh.NOT_A_DIALOGUE)
    if turns[0][:-1] != turns[1][:-1]:
        raise _Unusable(hh.OTHER_DIALOGUE)
    return turns[0][:-1], (turns[0][-1].content, turns[1][-1].content)


def _conversations(prompt: Any, chosen: list[Turn], rejected: list[Turn]) -> tuple[Context, tuple[str, str]]:
    """The common beginning is the context; what differs must be one answer of the assistant each."""
    if chosen == rejected:
        raise _Unusable(SAME)
    common = 0
    while common < min(len(chosen), len(rejected)) - 1 and chosen[common] == rejected[common]:
        common += 1
    if len(chosen) != common + 1 or len(rejected) != common + 1:
        raise _Unusable(SEVERAL)
    if not chosen[-1].role == rejected[-1].role == "assistant":
        raise _Unusable(NOT_ASSISTANT)
    before = tuple(chosen[:common])
    return _context(prompt, before), (chosen[-1].content, rejected[-1].content)


def _context(prompt: Any, before: tuple[Turn, ...]) -> Context:
    """Merge an explicit prompt with the turns before the answers: they are equal, or one continues the other."""
    if prompt is None:
        if not before:
            raise _Unusable(PLAIN)
        return before
    if isinstance(prompt, str):
        if not before:
            return prompt.strip()
        if not any(turn.role == "user" and turn.content.strip() == prompt.strip() for turn in before):
            raise _Unusable(OTHER_PROMPT)
        return before
    turns = tuple(_turns(prompt))
    return before if before[: len(turns)] == turns else (*turns, *before)


def _turns(messages: Any) -> list[Turn]:
    if not isinstance(messages, Sequence):
        raise WrongRecord("chosen, rejected and prompt must be texts or lists of messages")
    return [_turn(message) for message in messages]


def _turn(message: Any) -> Turn:
    role, content = field_of(message, "role"), field_of(message, "content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text", "")) for part in content)
    if role not in {"system", "user", "assistant"} or not isinstance(content, str):
        raise _Unusable(NO_TEXT)
    return Turn(role=role, content=content)
