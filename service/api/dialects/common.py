"""What translators share. A dialect is data (its paths, their records, the shape of its errors) and a translation
from its words to items and back; it decides nothing about scoring.
"""

import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from fastapi.responses import Response
from msgspec import Struct

from service.api.calls import RequestScorer
from service.api.shapes import ErrorShape
from service.bundle.pointer import DEFAULT_ALIAS
from service.domain import Item, Message, RawText, RawTokens, Reward, ScoreItem
from service.errors import MalformedRequest
from service.scoring import Scored
from service.telemetry.metrics import SHORT_DIGEST
from service.versions.resident import ResidentVersion
from service.wire import UNKNOWN_FIELD, malformed, too_deep

Json = dict[str, Any]
Endpoint = Callable[[RequestScorer, Request, bytes], Awaitable[Response]]
Body = TypeVar("Body", bound=Struct)
LABEL = "LABEL_0"
"""What Hugging Face calls the one label of a reward model."""
_CURES = {
    "label_token_ids": "probabilities of label tokens are not served; send queries and documents",
    "use_activation": "this route says raw_scores",
    "activation": "this route says raw_scores",
    "raw_scores": "this route says use_activation",
    "softmax": "over one label it is 1 for every text",
    "apply_softmax": "over one label it is 1 for every text",
}
_SCORE_CHANGING = frozenset({
    *_CURES, "normalize", "dimensions", "task", "temperature", "chat_template", "chat_template_kwargs", "instruction",
    "instruct", "mm_processor_kwargs", "max_tokens_per_doc", "max_chunks_per_doc", "rank_fields", "max_length",
    "truncate", "truncation", "truncation_side", "truncate_prompt_tokens", "truncation_direction", "prompt_name",
    "add_special_tokens", "apply_chat_template", "is_cross_encoder_request", "image_data", "video_data", "audio_data",
    "lora_path", "adapter_id",
})  # fmt: skip
"""Fields that peers know and that change a score: a route either understands one, or refuses it by name."""


Ignored = Any
"""A field that is understood to change no score, whatever it holds."""


class Wire(Struct, forbid_unknown_fields=True, kw_only=True):
    """A peer's record. Closed, for a field that is dropped may have been one that changes the score."""


@dataclass(frozen=True, slots=True)
class Post:
    """One thing that a dialect does, at one or more paths."""

    paths: tuple[str, ...]
    endpoint: Endpoint
    wire: type[Struct]
    example: Json
    summary: str
    keys: frozenset[str] = frozenset()
    """Where several dialects share a path: a body with one of these top-level keys is meant for this one."""
    binary: bool = False
    """Whether it reads binary bodies beside JSON."""


@dataclass(frozen=True, slots=True)
class Get:
    """Information at one or more paths."""

    paths: tuple[str, ...]
    endpoint: Callable[[RequestScorer, Request], Awaitable[Response]]
    summary: str
    probe: bool = False
    """Whether load balancers ask it, which have no key."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """A peer's wire format."""

    name: str
    shape: ErrorShape
    posts: tuple[Post, ...]
    gets: tuple[Get, ...] = field(default=())


class WireTurn(Struct, forbid_unknown_fields=True):
    """A message of a conversation, text only."""

    role: str
    content: str


def read(decoder: "msgspec.json.Decoder[Body]", body: bytes | bytearray | memoryview) -> Body:
    """Decode a peer's body.

    Raises:
        MalformedRequest: names a field that would change the score if it is the unknown one.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error)
        if text.startswith(UNKNOWN_FIELD):
            name = text.removeprefix(UNKNOWN_FIELD).strip(" `").partition("`")[0]
            if name in _SCORE_CHANGING:
                raise refused(name, _CURES.get(name, "leave it out")) from None
            raise MalformedRequest(_known_fields(decoder.type)) from None
        raise malformed(error) from None
    except RecursionError:
        raise too_deep() from None


def refused(name: str, cure: str) -> MalformedRequest:
    """A field that changes the score and is not understood: never dropped in silence."""
    return MalformedRequest(f"`{name}` would change the score and is not understood here: {cure}", param=name)


def _known_fields(wire: type[Struct]) -> str:
    names = ", ".join(entry.encode_name for entry in msgspec.structs.fields(wire))
    return f"the body, or a record in it, has an unknown field; at the top this route knows: {names}"


def messages(turns: Sequence[WireTurn], *, param: str) -> tuple[Message, ...]:
    """Turns as the domain's; raises MalformedRequest on an unknown role."""
    for place, turn in enumerate(turns):
        if turn.role not in {"system", "user", "assistant"}:
            raise MalformedRequest("a role is system, user or assistant", param=f"{param}[{place}].role")
    return tuple(Message(turn.role, turn.content) for turn in turns)  # type: ignore[arg-type]


def conversation(turns: Sequence[WireTurn]) -> ScoreItem:
    """Messages that end in the response.

    Raises:
        MalformedRequest: an unknown role, or the last turn is not the assistant's.
    """
    if not turns or turns[-1].role != "assistant":
        raise MalformedRequest(
            "the conversation must end with the assistant's turn: that is what is scored", param="messages"
        )
    return ScoreItem(messages(turns[:-1], param="messages"), turns[-1].content)


Input = str | list[str | int | list[int]]
"""One text, one row of token ids, or a list of either."""


def texts_or_tokens(value: Input, *, special_tokens: bool, param: str) -> list[Item]:
    """Raises MalformedRequest if texts and ids are mixed."""
    if isinstance(value, str):
        return [RawText(value, special_tokens)]
    if value and all(isinstance(entry, int) for entry in value):
        return [RawTokens(tuple(value))]  # type: ignore[arg-type]
    items: list[Item] = []
    for entry in value:
        if isinstance(entry, int):
            raise MalformedRequest("either texts, or token ids, or rows of token ids; not mixed", param=param)
        items.append(RawText(entry, special_tokens) if isinstance(entry, str) else RawTokens(tuple(entry)))
    return items


def rewards_of(scored: Scored) -> list[Reward]:
    """Every item's reward; peers have no place for an item's own error, so the first one fails the request.

    Raises:
        PluralityError: the first item's own error, with its place as `param`.
    """
    rewards = []
    for place, outcome in enumerate(scored.outcomes):
        if not isinstance(outcome, Reward):
            error = copy.copy(outcome)
            error.param = f"items[{place}]"
            error.message = f"item {place}: {outcome.message}"
            raise error
        rewards.append(outcome)
    return rewards


def values_of(scored: Scored, *, raw: bool) -> list[float]:
    """Rewards, or calibrated probabilities in [0, 1] where the client wants an activation."""
    rewards = [reward.value for reward in rewards_of(scored)]
    return rewards if raw else [scored.absolute_probability(reward) for reward in rewards]


def tokens_of(scored: Scored) -> int:
    """Tokens scored, control tokens included."""
    return sum(reward.tokens for reward in rewards_of(scored))


def version_of(scored: Scored) -> str:
    """`name@digest`: pin it to hold a run to one version."""
    return f"{scored.manifest.model}@{scored.digest[:SHORT_DIGEST]}"


def answer(reply: object, scored: Scored) -> Response:
    """Build a peer's reply; facts that its format cannot hold are sent as headers."""
    cut = sum(isinstance(outcome, Reward) and outcome.cut_tokens > 0 for outcome in scored.outcomes)
    headers = {
        "x-plurality-model": version_of(scored),
        "x-plurality-calibrated": str(scored.manifest.calibration is not None).lower(),
        "x-plurality-truncated": str(cut),
    }
    return Response(msgspec.json.encode(reply), media_type="application/json", headers=headers)


def plain(reply: object) -> Response:
    """Information that is of no one version."""
    return Response(msgspec.json.encode(reply), media_type="application/json")


def served(caller: RequestScorer) -> list[tuple[str, ResidentVersion]]:
    """Every resident version with what `model` may say to get it: a model's name, or name@alias."""
    return [
        (name if alias == DEFAULT_ALIAS else f"{name}@{alias}", bundle)
        for name, aliases in caller.live.snapshot.aliases.items()
        for alias, bundle in aliases.items()
    ]


def pairs(prompts: Sequence[str], responses: Sequence[str], *, names: str) -> list[Item]:
    """n prompts with n responses, or one prompt with n.

    Raises:
        MalformedRequest: the counts do not fit.
    """
    if len(prompts) == 1:
        prompts = list(prompts) * len(responses)
    if len(prompts) != len(responses):
        raise MalformedRequest(f"{names}: as many of the one as of the other, or one of the first")
    return [ScoreItem(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]


def ranked(scored: Scored, top: int | None) -> list[int]:
    """Places by reward, best first, ties in the request's order; all of them for None or 0.

    Never by probability: where it is level or saturates, the best would be lost among its equals.
    """
    rewards = [reward.value for reward in rewards_of(scored)]
    order = sorted(range(len(rewards)), key=lambda place: (-rewards[place], place))
    return order[:top] if top else order
