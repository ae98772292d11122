"""The plain values that the stages of a request pass on. No behavior, no HTTP, no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import StringConstraints

from plurality.core.errors import PluralityError
from plurality.core.pairs import Message, Prompt, ResponsePair, Role, ScoreItem

__all__ = [
    "MODEL_NAME_PATTERN", "Batch", "Device", "Encoding", "Float32", "Int64", "Item", "Message", "ModelName", "Outcome",
    "Prompt", "RawText", "RawTokens", "ResponsePair", "Reward", "Role", "Scheduler", "ScoreItem", "ScoreQuery",
    "UpstreamKind",
]  # fmt: skip
MODEL_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ModelName = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
Device = Literal["cpu", "cuda", "tensorrt"]
"""Where a model runs."""
UpstreamKind = Literal["vllm", "sglang", "plurality"]
"""Another server that scores."""
Scheduler = Literal["profile", "fifo"]
"""How a queue is divided into engine calls."""
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RawText:
    """One whole text as a trainer or a text-classification client has it: turns joined, template applied."""

    text: str
    special_tokens: bool
    """Whether to add the special tokens that the tokenizer adds to a single text; never a second BOS."""
    prompt: str | None = None
    """The prompt that the text begins with: needed by models that read prompt and response separately."""

    @property
    def characters(self) -> int:
        """Length in Unicode code points."""
        return len(self.text)


@dataclass(frozen=True, slots=True)
class RawTokens:
    """Token ids of this model's own tokenizer, control tokens included."""

    ids: tuple[int, ...]

    @property
    def characters(self) -> int:
        """Length in tokens: nothing is left to tokenize."""
        return len(self.ids)


Item = ScoreItem | RawText | RawTokens
"""An item to score. The native API and all training know ScoreItem only."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One item as the model reads it."""

    ids: tuple[int, ...]
    second_segment: int
    """Index of the first token of the second segment (token type 1); len(ids) where the model has no types."""
    cut_tokens: int
    """How many tokens were cut to fit max_length; 0 if none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded model inputs. Suffixes: B items, T tokens."""

    input_ids_BT: Int64
    attention_mask_BT: Int64
    token_type_ids_BT: Int64


@dataclass(frozen=True, slots=True)
class Reward:
    """The scored item."""

    value: float
    """Centered reward: the model's logit less the manifest's center. Always finite."""
    tokens: int
    cut_tokens: int


Outcome = Reward | PluralityError
"""The result of one item: its reward, or its own error. Never a default."""


@dataclass(frozen=True, slots=True)
class ScoreQuery:
    """Items to score, the model to score them with, and the deadline."""

    items: Sequence[Item]
    model: str | None
    """`name`, `name@alias` or `name@digest`; None is the default model."""
    deadline: float
    """On the event loop's monotonic clock, in seconds."""
    truncate: bool = True
    """Whether an item longer than max_length is truncated (and reported so); otherwise it is that item's error."""
    traffic: bool = True
    """Whether a client asked for it; the service's own requests (shadow arms, votes) are not monitored."""
    block: bool = False
    """When the service is full: wait for room until the deadline instead of being refused."""
