"""HH-RLHF (arXiv 2204.05862): whole dialogues as text, chosen and rejected; the last assistant turn is the answer.

Traps: the text must be parsed into prompt and response: as one flat string, training and serving would read different
formats; chosen and rejected do not always continue the same dialogue; chosen always stands first; one dialogue is in
the set at several depths (127 of the 2,299 pairs of harmless-base/test), so that what opens alike stays together
(`group`).
"""

import re
from collections.abc import Iterable
from typing import Literal

from plurality.core.rows import Turn
from plurality.training.loaders.collect import Collector, Loaded, Record, numbered, text_of

_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES: dict[str, Literal["user", "assistant"]] = {"Human": "user", "Assistant": "assistant"}
NOT_A_DIALOGUE = "not a dialogue of alternating turns that ends with the assistant's"
OTHER_DIALOGUE = "chosen and rejected answer different dialogues"


def rows(records: Iterable[Record], *, source: str = "hh-rlhf") -> Loaded:
    """Records: {chosen, rejected}."""
    out = Collector(source)
    for number, record in numbered(records):
        with out.record(number):
            add(out, str(number), text_of(record, "chosen"), text_of(record, "rejected"))
    return out.finish()


def add(out: Collector, identity: str, chosen: str, rejected: str, label: float = 1.0) -> None:
    """One pair of dialogues; `label` is P(chosen preferred)."""
    dialogues = parse(chosen), parse(rejected)
    if not (dialogues[0] and dialogues[1]):
        out.drop(NOT_A_DIALOGUE)
    elif dialogues[0][:-1] != dialogues[1][:-1]:
        out.drop(OTHER_DIALOGUE)
    else:
        answers = dialogues[0][-1].content, dialogues[1][-1].content
        out.pair(identity, dialogues[0][:-1], answers, label=label, group=dialogues[0][0].content)


def parse(dialogue: str) -> tuple[Turn, ...]:
    """Turns of a dialogue; empty unless they alternate, begin with the user's and end with the assistant's."""
    head, *parts = _SPEAKER.split(dialogue)
    turns = tuple(
        Turn(role=_ROLES[speaker], content=text.strip()) for speaker, text in zip(parts[::2], parts[1::2], strict=True)
    )
    expected = ["user", "assistant"] * (len(turns) // 2)
    return () if head.strip() or [turn.role for turn in turns] != expected else turns
