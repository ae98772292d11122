"""The canonical preference row: the one shape that every loader produces and everything offline reads."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_export.pairs import LabeledPair
from plurality.training.judge.record import JudgeRecord
from service.domain import Message, Prompt

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Turn(_Closed):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Votes(_Closed):
    """How many judged each answer the better one."""

    a: int = Field(ge=0)
    b: int = Field(ge=0)
    tie: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> "Votes":
        if self.total == 0:
            raise ValueError("votes are all zero: leave the field out instead")
        return self

    @property
    def total(self) -> int:
        return self.a + self.b + self.tie

    @property
    def fraction_a(self) -> float:
        """Share that prefers a; a tie is half a vote for each."""
        return (self.a + 0.5 * self.tie) / self.total


class PreferenceRow(_Closed):
    """Two responses to one prompt and what people said about them."""

    id: str
    source: str = "unknown"
    prompt: str | None = None
    messages: tuple[Turn, ...] | None = Field(default=None, strict=False)
    response_a: str
    response_b: str
    label: Fraction
    """P(a preferred): 1 = a, 0 = b, 0.5 = a tie; one annotator's choice unless it is a fraction."""
    votes: Votes | None = None
    margin: Fraction | None = None
    """m of arXiv 2412.03822 eq. 3; computed from the votes where it is left out."""
    judge: JudgeRecord | None = None
    """What a language model said (`plurality judge`); never mixed with the votes."""
    category: str | None = None
    true_preference: Fraction | None = None
    """p*, where it is known: simulated populations, or large human samples."""

    @model_validator(mode="after")
    def _one_prompt(self) -> "PreferenceRow":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        if self.messages is not None and not self.messages:
            raise ValueError("messages is empty")
        return self

    @property
    def context(self) -> Prompt:
        """Prompt or conversation, as the service takes it."""
        if self.prompt is not None:
            return self.prompt
        return tuple(Message(turn.role, turn.content) for turn in self.messages or ())

    @property
    def preference(self) -> float:
        """The best estimate of P(a preferred) that the row holds: vote fraction, else label."""
        return self.votes.fraction_a if self.votes else self.label

    @property
    def soft_label(self) -> float:
        """P(a preferred) to train on: vote fraction, else the judge's q, else label. `preference` knows no judge."""
        if self.votes is None and self.judge is not None and self.judge.q is not None:
            return self.judge.q
        return self.preference

    def as_pair(self) -> LabeledPair:
        """For calibration and fidelity checks."""
        return LabeledPair(self.context, self.response_a, self.response_b, self.preference, self.source)
