"""The input format that turns (prompt, response) into a model's input: data in the manifest, never code.

A chat template is a program; running a foreign program in the service is a security hole. So it is introspected once,
at import, and kept as the literal text between the turns (`model_export/detect_format.py`): rendering needs no more.
"""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
MaxLength = Annotated[int, Field(ge=8, le=131_072)]
TurnSeparator = Literal[
    "start>system", "start>user", "system>user", "user>assistant", "user>response", "assistant>user", "assistant>end",
]  # fmt: skip
Turn = Literal["system", "user", "assistant", "response"]
"""A role; or the last turn, which is the assistant's and which some templates treat differently."""
Edge = Literal["kept", "newlines", "spaces"]
"""Stripped by a template from one end of a turn: nothing, line feeds, or white space of any kind."""


class Closed(BaseModel):
    """A frozen record that refuses unknown fields, coercion, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PairFormat(Closed):
    """Encoder models: [start] prompt [between] response [end], each text tokenized on its own.

    A control token that is spelled out in a text is read as plain text, or refused where the tokenizer cannot do that.
    """

    kind: Literal["pair"] = "pair"
    max_length: MaxLength
    """Tokens per item, control tokens included."""
    start_ids: tuple[TokenId, ...]
    between_ids: tuple[TokenId, ...]
    end_ids: tuple[TokenId, ...]
    pad_id: TokenId
    token_types: bool
    """Whether the model tells prompt and response apart by token type (0 and 1)."""
    unknown_id: TokenId | None = None
    """The token of unknown characters; some tokenizers pad with it too."""

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids that only the format itself may place."""
        return frozenset((*self.start_ids, *self.between_ids, *self.end_ids, self.pad_id)) - {self.unknown_id}


class Trim(Closed):
    """The white space that a template strips from both ends of a turn."""

    left: Edge = "kept"
    right: Edge = "kept"

    def apply(self, text: str) -> str:
        """Strip a turn's text as the template does."""
        if self.left != "kept":
            text = text.lstrip("\n" if self.left == "newlines" else None)
        if self.right != "kept":
            text = text.rstrip("\n" if self.right == "newlines" else None)
        return text


_KEPT = Trim()
_STRIPPED = Trim(left="spaces", right="spaces")


class ChatFormat(Closed):
    """Decoder models: one string, turns joined by the literal texts of the model's chat template."""

    kind: Literal["chat"] = "chat"
    max_length: MaxLength
    """Tokens per item, template included."""
    joints: dict[TurnSeparator, str]
    """The text between two turns, by the roles on its two sides. Without "user>response", "user>assistant" is it."""
    trim: bool | dict[Turn, Trim]
    """Whether the template strips white space around each turn; or what it strips from which."""
    rewritten: dict[Turn, tuple[str, ...]] = {}
    """Refused inside a turn's text: the template would not write it as it is. An empty one stands for a blank text."""
    control_tokens: tuple[str, ...]
    """Refused inside a text: the tokenizer would read them as the template's own."""
    pad_id: TokenId

    def trim_of(self, turn: Turn) -> Trim:
        """The white space that is stripped from a turn of this kind."""
        if isinstance(self.trim, bool):
            return _STRIPPED if self.trim else _KEPT
        return self.trim.get(turn, _KEPT)


InputFormat = Annotated[PairFormat | ChatFormat, Field(discriminator="kind")]
