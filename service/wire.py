"""Items and pairs as JSON, and their scores, in requests, replies and files. Closed and strict: no unknown fields, no
coercion, no NaN.

msgspec structs: JSON is decoded straight into these records. What is wrong with it is said without quoting it. A record
of a reply is built from the domain's values by its own `of` alone.
"""

import re
from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta, Struct

from plurality.core.errors import PluralityError
from service.bundle.calibrate import UNCALIBRATED, Calibrator, expected_disagreement
from service.bundle.manifest import Manifest
from service.domain import Message, Outcome, Reward, ScoreItem
from service.errors import MalformedRequest

Text = Annotated[str, Meta(description="Any Unicode text, empty included.")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Selector = (
    Annotated[
        str,
        Meta(
            max_length=129,
            description="`name`, `name@alias` or `name@digest`; the default model and alias `stable` if left out.",
        ),
    ]
    | None
)


UNKNOWN_FIELD = "Object contains unknown field"
_WITHOUT_QUOTE = {
    UNKNOWN_FIELD: "an unknown field is present",
    "Invalid enum value": "not one of the allowed values",
}


_REASON = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>[A-Za-z0-9_\[\].]*)`)?", re.DOTALL)
_HOLDERS = frozenset({
    "items", "pairs", "prompt", "messages", "inputs", "outputs", "parameters", "instances", "documents",
    "votes",
})  # fmt: skip
"""Fields that hold records. An unknown field's place is named by these alone: its own name may look like a place."""


class Wire(Struct, forbid_unknown_fields=True, gc=False):
    """A closed record."""


class WireMessage(Wire):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


WirePrompt = Annotated[
    str | list[WireMessage], Meta(description="The prompt, or the conversation that the response answers.")
]


def to_item(prompt: str | list[WireMessage], response: str) -> ScoreItem:
    """A wire prompt and a response as the domain's item."""
    if isinstance(prompt, str):
        return ScoreItem(prompt, response)
    return ScoreItem(tuple(Message(turn.role, turn.content) for turn in prompt), response)


Source = Annotated[
    str | None,
    Meta(description="Where the prompt is from: its own temperature, where the version has one (see /models)."),
]


class WireItem(Wire):
    """A response and what it answers."""

    prompt: WirePrompt
    response: Text


class WirePair(Wire):
    """Two responses to one prompt."""

    prompt: WirePrompt
    response_a: Text
    response_b: Text
    source: Source = None


class WireVotes(Wire):
    """How many judged each response the better one; a tie is half a vote for each."""

    a: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    b: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    tie: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0


class ComparePair(WirePair, kw_only=True):
    """Two responses to one prompt with, optionally, people's votes on them."""

    label: Annotated[Share | None, Meta(description="P(a preferred): 1, 0, 0.5 for a tie, or a fraction.")] = None
    votes: WireVotes | None = None


class Model(Wire):
    """Which version answered."""

    name: str
    version: Annotated[str, Meta(description="The version's digest, sha256 of its manifest.")]
    sequence: int
    objective: str
    precision: str
    calibrated: Annotated[bool, Meta(description="False: `probability` is the raw σ(r_a - r_b).")]

    @classmethod
    def of(cls, manifest: Manifest, digest: str) -> Self:
        """Build it from a version's manifest and digest."""
        calibrated = manifest.calibration is not None
        return cls(manifest.model, digest, manifest.sequence, manifest.objective, manifest.precision, calibrated)


class ItemError(Wire):
    """Why one item has no reward."""

    code: str
    message: str

    @classmethod
    def of(cls, error: PluralityError) -> Self:
        """Build it from an item's own error, for a reply that is 200."""
        return cls(error.code, error.message)


class ScoredItem(Wire, omit_defaults=True):
    """A reward, or this item's own error."""

    reward: Annotated[float | None, Meta(description="Finite, centered; null only beside `error`.")]
    tokens: int | None
    truncated: Annotated[bool | None, Meta(description="Whether tokens were cut from the left to fit the model.")]
    cut_tokens: int | None
    error: ItemError | None = None

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        """Build it from an item's outcome."""
        if isinstance(outcome, Reward):
            return cls(outcome.value, outcome.tokens, outcome.cut_tokens > 0, outcome.cut_tokens)
        return cls(None, None, None, None, error=ItemError.of(outcome))


class PreferencePair(Wire):
    """The preference between two responses: probability, rewards and expected disagreement."""

    a: ScoredItem
    b: ScoredItem
    probability: Annotated[float | None, Meta(description="Calibrated P(a preferred), σ((r_a - r_b) / T) or a curve.")]
    raw_probability: Annotated[float | None, Meta(description="σ(r_a - r_b), without calibration.")]
    reward_diff: Annotated[float | None, Meta(description="r_a - r_b.")]
    expected_disagreement: Annotated[float | None, Meta(description="1 - |2P - 1|: 0 all agree, 1 an even split.")]

    @classmethod
    def of(cls, first: Outcome, second: Outcome, calibrator: Calibrator, source: str | None = None) -> Self:
        """Build it from two outcomes; without both rewards there is no probability, and nothing is made up."""
        a, b = ScoredItem.of(first), ScoredItem.of(second)
        if a.reward is None or b.reward is None:
            return cls(a, b, None, None, None, None)
        difference = a.reward - b.reward
        probability = calibrator.probability(difference, source)
        raw = UNCALIBRATED.probability(difference)
        return cls(a, b, probability, raw, difference, expected_disagreement(probability))


def malformed(error: msgspec.DecodeError | UnicodeDecodeError) -> MalformedRequest:
    """The first thing wrong with a body, by place and kind; never its content.

    Names of unknown fields and values of closed sets are the caller's text too: msgspec quotes them, we do not.
    """
    if isinstance(error, UnicodeDecodeError):
        return MalformedRequest("the body is not UTF-8")
    found = _REASON.fullmatch(str(error))
    reason, path = (found["reason"], (found["path"] or "").lstrip(".")) if found else (str(error), "")
    for quoted, plain in _WITHOUT_QUOTE.items():
        if reason.startswith(quoted):
            reason = plain
    if str(error).startswith(UNKNOWN_FIELD) and not _HOLDERS.issuperset(re.findall(r"\w*[A-Za-z_]\w*", path)):
        path = ""
    return MalformedRequest(f"{reason} (at {path or 'the top of the body'})", param=path or None)


def too_deep() -> MalformedRequest:
    """For what would need more stack than there is."""
    return MalformedRequest("the body is nested too deeply")
