"""The native wire format. Closed, strict: no unknown fields, no coercion, no NaN."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.domain import Message, ScoreItem

Text = Annotated[str, Field(description="Any Unicode text, empty included.")]
Selector = Annotated[
    str | None,
    StringConstraints(max_length=129),
    Field(description="`name`, `name@alias` or `name@digest`; the default model and alias `stable` if left out."),
]


class Wire(BaseModel):
    """A closed record."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class WireMessage(Wire):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


WirePrompt = Annotated[
    Text | list[WireMessage], Field(description="The prompt, or the conversation that the response answers.")
]


def to_item(prompt: str | list[WireMessage], response: str) -> ScoreItem:
    """A wire prompt and a response as the domain's item."""
    if isinstance(prompt, str):
        return ScoreItem(prompt, response)
    return ScoreItem(tuple(Message(turn.role, turn.content) for turn in prompt), response)


class WireItem(Wire):
    """A response and what it answers."""

    prompt: WirePrompt
    response: Text


class ScoreRequest(Wire):
    """Items to score."""

    model: Selector = None
    items: list[WireItem]


class WirePair(Wire):
    """Two responses to one prompt."""

    prompt: WirePrompt
    response_a: Text
    response_b: Text


class PreferenceRequest(Wire):
    """Pairs to compare."""

    model: Selector = None
    pairs: list[WirePair]


class RankRequest(Wire):
    """Responses to one prompt, to be put in order."""

    model: Selector = None
    prompt: WirePrompt
    responses: list[Text] = Field(min_length=1)
    win_matrix: bool = Field(default=False, description="Also P(i preferred over j) for all i, j.")
    advantages: bool = Field(default=False, description="Also group advantages (r - mean) / (std + 1e-4), as in GRPO.")


class Model(Wire):
    """Which version answered."""

    name: str
    version: str = Field(description="The version's digest, sha256 of its manifest.")
    sequence: int
    objective: str
    precision: str
    calibrated: bool = Field(description="False: `probability` is the raw σ(r_a - r_b).")


class ItemError(Wire):
    """Why one item has no reward."""

    code: str
    message: str


class ScoredItem(Wire):
    """A reward, or this item's own error."""

    reward: float | None = Field(description="Finite, centred; null only beside `error`.")
    tokens: int | None
    truncated: bool | None = Field(description="Whether tokens were cut from the left to fit the model.")
    cut_tokens: int | None
    error: ItemError | None = None


class ScoreResponse(Wire):
    """One entry an item, in the request's order, all of one version."""

    request_id: str
    model: Model
    items: list[ScoredItem]


class PreferencePair(Wire):
    """Who is preferred, how surely, and how much people are expected to disagree."""

    probability: float | None = Field(description="Calibrated P(a preferred) = σ((r_a - r_b) / T).")
    raw_probability: float | None = Field(description="σ(r_a - r_b), without calibration.")
    margin: float | None = Field(description="r_a - r_b.")
    expected_disagreement: float | None = Field(description="1 - |2P - 1|: 0 all agree, 1 an even split.")
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
    order: list[int] = Field(description="Indices of the scored responses, best first; ties in the request's order.")
    weights: list[float | None] = Field(description="Softmax of r / T over the scored responses.")
    items: list[ScoredItem]
    win_matrix: list[list[float | None]] | None = None
    advantages: list[float | None] | None = None


class ServedVersion(Wire):
    """A resident version and its aliases."""

    model: Model
    aliases: list[str]
    state: Literal["ready"]
    max_length: int
    input_format: str
    temperature: float
    golden_tolerance: float
    evaluation: dict[str, float]


class RejectedVersion(Wire):
    """A version that the store names and that is not served."""

    model: str
    version: str | None
    reason: str
    message: str


class ModelsResponse(Wire):
    """What is served, and what was refused and why."""

    versions: list[ServedVersion]
    rejected: list[RejectedVersion]
