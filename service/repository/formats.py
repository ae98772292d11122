"""How (prompt, response) becomes the model's input: data in the manifest, never code.

A chat template is a program; running a stranger's program in the service is a hole. At import it is probed once
and kept as the literal text between the turns (`model_export/detect_format.py`), which is all that rendering needs.
"""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
MaxLength = Annotated[int, Field(ge=8, le=131_072)]
Joint = Literal[
    "start>system", "start>user", "system>user", "user>assistant", "assistant>user", "assistant>end",
]  # fmt: skip


class Closed(BaseModel):
    """A frozen record that refuses unknown fields, coercion, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PairFormat(Closed):
    """Encoder models: [start] prompt [between] response [end], each text tokenised on its own.

    A control token that is spelled out in a text is read as plain text, or refused where the tokeniser cannot do that.
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

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids that only the format itself may place."""
        return frozenset((*self.start_ids, *self.between_ids, *self.end_ids, self.pad_id))


class ChatFormat(Closed):
    """Decoder models: one string, turns joined by the literal texts of the model's chat template."""

    kind: Literal["chat"] = "chat"
    max_length: MaxLength
    """Tokens per item, template included."""
    joints: dict[Joint, str]
    """The text between two turns, by the roles on its two sides."""
    trim: bool
    """Whether the template strips white space around each turn."""
    control_tokens: tuple[str, ...]
    """Refused inside a text: the tokeniser would read them as the template's own."""
    pad_id: TokenId


InputFormat = Annotated[PairFormat | ChatFormat, Field(discriminator="kind")]
