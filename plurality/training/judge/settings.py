"""What the judge is asked and how, frozen; the digest names it in every row."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from plurality.core.judge_record import Mode, Order
from plurality.training.judge.prompt import PROMPT_DIGEST

OrdersChoice = Literal["paper", "balanced"]
LabelPlace = Literal["prefill", "generate"]
Share = Annotated[float, Field(gt=0, le=1)]

_OURS = {"messages", "model", "n", "logprobs", "stream"}
_LOGPROB_ONLY = {"label", "top_logprobs", "min_covered"}
_SAMPLE_ONLY = {"n", "orders", "temperature", "top_p", "choices_per_request", "seed"}


class JudgeSettings(BaseModel):
    """What decides a judgement, and options of `plurality judge`. Not where or how fast it is asked: another server of
    the same model keeps the cache.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    model: str = Field(min_length=1)
    """The judge, as the endpoint names it."""
    mode: Mode = "logprob"
    """logprob: exact, two requests a pair. sample: the paper's n answers."""
    label: LabelPlace = "prefill"
    """logprob: prefill starts the answer with 'Choice:' and asks for one token (vLLM's continue_final_message);
    generate lets the judge write it and finds the label (OpenAI and others)."""
    top_logprobs: int = Field(default=20, ge=2)
    """logprob: how many tokens to list; both labels must be in."""
    min_covered: float = Field(default=0.5, ge=0, le=1)
    """logprob: less mass than this on the labels is no judgement (a refusal)."""
    n: int = Field(default=10, ge=1)
    """sample: answers a pair (paper: 10)."""
    orders: OrdersChoice = "balanced"
    """sample: balanced shows each answer first in half of n; paper never swaps."""
    temperature: float = Field(default=1.0, ge=0)
    """sample: always sent. The paper states none; Llama-3's own default is 0.6."""
    top_p: Share = 0.9
    """sample: nucleus sampling (paper: 0.9)."""
    max_tokens: int = Field(default=16, ge=1)
    """Longest answer; reasoning models need many more."""
    choices_per_request: int | None = Field(default=None, ge=1)
    """sample: for endpoints that refuse n above this (default: all at once)."""
    seed: int | None = None
    """sample: each request gets a seed derived from it (default: none is sent)."""
    extra: dict[str, Any] = {}
    """Fields to add to every request's body; null takes a field out."""

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OURS & extra.keys()):
            raise ValueError(f"has settings of their own: {', '.join(taken)}")
        return extra

    @property
    def digest(self) -> str:
        """sha256 of the settings that this mode reads, and of the prompt's wording."""
        return digest_of(self.resolved())

    def resolved(self) -> dict[str, Any]:
        """The settings that this mode reads, as JSON."""
        unread = _SAMPLE_ONLY if self.mode == "logprob" else _LOGPROB_ONLY
        return {"prompt_sha256": PROMPT_DIGEST} | self.model_dump(mode="json", exclude=unread)

    def draws(self) -> dict[Order, int]:
        """Answers to ask for in each order: half and half, or all in the row's own order as in the paper."""
        if self.mode == "logprob":
            return {"ab": 1, "ba": 1}
        if self.orders == "paper":
            return {"ab": self.n}
        return {"ab": self.n - self.n // 2, "ba": self.n // 2}


def digest_of(value: object) -> str:
    """sha256 of a JSON value in its one canonical spelling."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
