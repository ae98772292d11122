"""The canonical preference row: every loader and the export of votes write it, everything offline reads it."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from plurality.core.judge_record import JudgeRecord
from plurality.core.pairs import Message, Prompt, ResponsePair, Role, prompt_key

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Turn(_Closed):
    """One message of a conversation."""

    role: Role
    content: str


class Votes(_Closed):
    """How many judged each answer the better one."""

    a: int = Field(ge=0)
    b: int = Field(ge=0)
    tie: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> Self:
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


class ComparedRow(_Closed):
    """Two responses to one prompt and, where it is known, which one people prefer. All fields of a row are here."""

    id: str
    source: str = "unknown"
    prompt: str | None = None
    messages: tuple[Turn, ...] | None = Field(default=None, strict=False)
    response_a: str
    response_b: str
    label: Fraction | None = None
    """P(a preferred): 1 = a, 0 = b, 0.5 = a tie; one annotator's choice unless it is a fraction."""
    votes: Votes | None = None
    margin: Fraction | None = None
    """m of arXiv 2412.03822 eq. 3; computed from the votes where it is left out."""
    judge: JudgeRecord | None = None
    """A language model's judgement (`plurality judge`); never mixed with the votes."""
    category: str | None = None
    true_preference: Fraction | None = None
    """p*, where it is known: simulated populations, or large human samples."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
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
    def pair(self) -> ResponsePair:
        """The texts alone, as models score them."""
        return ResponsePair(self.context, self.response_a, self.response_b)

    @property
    def prompt_key(self) -> str:
        """Digest of the normalized context; equal for a plain prompt and the same as one message."""
        return prompt_key(self.context)


class PreferenceRow(ComparedRow):
    """The canonical row: a labeled pair, to train, calibrate and evaluate on."""

    label: Fraction

    @classmethod
    def of(cls, pair: ResponsePair, **fields: Any) -> Self:
        """Make the row of a pair whose prompt may be a conversation; `fields` are the row's others."""
        if isinstance(pair.prompt, str):
            fields["prompt"] = pair.prompt
        else:
            fields["messages"] = tuple(Turn(role=turn.role, content=turn.content) for turn in pair.prompt)
        return cls(response_a=pair.response_a, response_b=pair.response_b, **fields)

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
