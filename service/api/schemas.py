"""The native wire format, in both directions. Closed and strict: no unknown fields, no coercion, no NaN.

msgspec structs: they decode a body straight into these records, and the OpenAPI document is generated from them.
"""

from typing import Annotated, Literal

from msgspec import Meta

from service.wire import Selector, Source, Text, Wire, WireItem, WirePair, WirePrompt


class ScoreRequest(Wire, kw_only=True):
    """Items to score."""

    model: Selector = None
    items: list[WireItem]


class PreferenceRequest(Wire, kw_only=True):
    """Pairs to compare."""

    model: Selector = None
    pairs: list[WirePair]


class RankRequest(Wire, kw_only=True):
    """Responses to one prompt, to be put in order."""

    model: Selector = None
    prompt: WirePrompt
    responses: Annotated[list[Text], Meta(min_length=1)]
    win_matrix: Annotated[bool, Meta(description="Also P(i preferred over j) for all i, j.")] = False
    source: Source = None
    advantages: Annotated[bool, Meta(description="Also (r - mean) / (std + 1e-4) over the group, as in GRPO.")] = False


class Model(Wire):
    """Which version answered."""

    name: str
    version: Annotated[str, Meta(description="The version's digest, sha256 of its manifest.")]
    sequence: int
    objective: str
    precision: str
    calibrated: Annotated[bool, Meta(description="False: `probability` is the raw σ(r_a - r_b).")]


class ItemError(Wire):
    """Why one item has no reward."""

    code: str
    message: str


class ScoredItem(Wire):
    """A reward, or this item's own error."""

    reward: Annotated[float | None, Meta(description="Finite, centered; null only beside `error`.")]
    tokens: int | None
    truncated: Annotated[bool | None, Meta(description="Whether tokens were cut from the left to fit the model.")]
    cut_tokens: int | None
    error: ItemError | None = None


class ScoreResponse(Wire):
    """One entry an item, in the request's order, all of one version."""

    request_id: str
    model: Model
    items: list[ScoredItem]


class PreferencePair(Wire):
    """The preference between two responses: probability, rewards and expected disagreement."""

    probability: Annotated[float | None, Meta(description="Calibrated P(a preferred), σ((r_a - r_b) / T) or a curve.")]
    raw_probability: Annotated[float | None, Meta(description="σ(r_a - r_b), without calibration.")]
    reward_diff: Annotated[float | None, Meta(description="r_a - r_b.")]
    expected_disagreement: Annotated[float | None, Meta(description="1 - |2P - 1|: 0 all agree, 1 an even split.")]
    a: ScoredItem
    b: ScoredItem


class PreferenceResponse(Wire):
    """One entry a pair, in the request's order, all of one version."""

    request_id: str
    model: Model
    pairs: list[PreferencePair]


class RankResponse(Wire):
    """The responses from best to worst."""

    request_id: str
    model: Model
    order: Annotated[
        list[int], Meta(description="Places of the scored responses, best first; ties in the request's order.")
    ]
    weights: Annotated[list[float | None], Meta(description="Softmax of r / T over the scored responses.")]
    items: list[ScoredItem]
    win_matrix: list[list[float | None]] | None = None
    advantages: list[float | None] | None = None


class ServedVersion(Wire):
    """A loaded version and its aliases."""

    model: Model
    aliases: list[str]
    state: Annotated[
        Literal["ready", "active"], Meta(description="active: an alias names it. ready: loaded, to be gone back to.")
    ]
    since: Annotated[str, Meta(description="When it came to that state; ISO 8601.")]
    reason: Annotated[str | None, Meta(description="Why an alias was taken from it: `rolled_back:` and the cause.")]
    max_length: int
    input_format: str
    temperature: float
    calibration: Annotated[str | None, Meta(description="temperature, power or isotonic; null while uncalibrated.")]
    sources: Annotated[list[str], Meta(description="Sources of prompts that have a temperature of their own.")]
    golden_tolerance: float
    evaluation: dict[str, float]


class RejectedVersion(Wire):
    """A version that the store names and that is not served."""

    model: str
    version: str | None
    reason: str
    message: str


class PendingVersion(Wire):
    """A version on its way to being loaded."""

    model: str
    version: str
    state: Literal["discovered", "verifying", "probing", "loading", "warming", "self_test"]
    since: str


class ModelsResponse(Wire):
    """The loaded, refused (with reasons) and loading versions."""

    versions: list[ServedVersion]
    rejected: list[RejectedVersion]
    pending: list[PendingVersion]
