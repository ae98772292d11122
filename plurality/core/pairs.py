"""Prompts and responses as plain values: one response to score, two to compare, and the key of a prompt."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


Prompt = str | tuple[Message, ...]
"""A plain prompt, or the conversation that the response answers."""


@dataclass(frozen=True, slots=True)
class ScoreItem:
    """A response and what it answers: the unit of scoring."""

    prompt: Prompt
    response: str

    @property
    def characters(self) -> int:
        """Length of all texts together, in Unicode code points."""
        prompt = self.prompt
        turns = len(prompt) if isinstance(prompt, str) else sum(len(turn.content) for turn in prompt)
        return turns + len(self.response)


@dataclass(frozen=True, slots=True)
class ResponsePair:
    """Two responses to one prompt: the unit of comparison."""

    prompt: Prompt
    response_a: str
    response_b: str

    @property
    def items(self) -> tuple[ScoreItem, ScoreItem]:
        """The two responses as a model scores them."""
        return ScoreItem(self.prompt, self.response_a), ScoreItem(self.prompt, self.response_b)


def normalize(text: str) -> str:
    """Fold Unicode compatibility forms, case and white space, which do not tell two prompts apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_key(text: str) -> str:
    """Digest of a normalized text."""
    return hashlib.sha256(normalize(text).encode()).hexdigest()


def prompt_key(prompt: Prompt) -> str:
    """Digest of a normalized prompt: equal keys are the same prompt wherever pairs are split, folded or resampled.

    A plain prompt has the key of the conversation with that one user message.
    """
    turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    return text_key("\x1e".join(f"{turn.role}\x1f{normalize(turn.content)}" for turn in turns))
