"""The judge's prompt, word for word (arXiv 2412.03822, appendix), and how its answer is read."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from service.domain import Message, Prompt

Label = Literal["A", "B"]
ANSWER_START = "Choice:"
"""What every answer in the paper's format begins with; the label is the next token."""
PAPER_PROMPT = """\
I am going to give you a prompt and two answers.
The goal is to identify the better answer.
If the prompt is a question, we want the factually correct answer.
In a conversation, we want helpful replies that do not cause harm.
The output format should be either 'Choice: A' or 'Choice: B' based on the selected answer and nothing else.
Prompt: {prompt}
Answer A: {answer_0}
Answer B: {answer_1}"""
PROMPT_DIGEST = hashlib.sha256(PAPER_PROMPT.encode()).hexdigest()
_NAMES = {"system": "System", "user": "User", "assistant": "Assistant"}
_ALONE = re.compile(r"\W*(?i:choice):\W*([AB])\W*")
_ANYWHERE = re.compile(r"(?i:choice):\W*([AB])\b")


def judge_prompt(context: Prompt, first: str, second: str) -> str:
    """The text to send, with `first` as answer A and `second` as answer B."""
    # str.format fills in once: braces in an answer stay what they are.
    return PAPER_PROMPT.format(prompt=_flat(context), answer_0=first, answer_1=second)


def _flat(context: Prompt) -> str:
    """Write a conversation as one text as in the paper's data sets: speaker, then words."""
    if isinstance(context, str):
        return context
    turns: Sequence[Message] = context
    return "\n\n".join(f"{_NAMES[turn.role]}: {turn.content}" for turn in turns)


def parse_choice(text: str) -> Label | None:
    """The label of an answer, or None.

    The first line must be 'Choice: A' or 'Choice: B' and nothing else but punctuation; what follows it (an
    explanation, cut off or not) must not choose the other one. A bare 'A', 'A or B' and prose are no choice.
    """
    answer = text.strip()
    match = _ALONE.fullmatch(answer.partition("\n")[0])
    if match is None:
        return None
    if len(set(_ANYWHERE.findall(answer))) > 1:
        return None
    return "A" if match[1] == "A" else "B"
