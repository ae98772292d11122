"""align-anything's remote reward model: {"prompts", "responses"} -> {"rewards"}."""

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects.common import (
    Dialect,
    Ignored,
    Post,
    Wire,
    answer,
    read,
    values_of,
)
from service.api.shapes import DETAIL
from service.domain import ScoreItem
from service.errors import MalformedRequest

POLICY = RequestPolicy(timeout_s=90)
"""Its client gives up after 100 s."""


class Responses(Wire):
    """As many responses as prompts. `golden_responses` is for verifiers; no score depends on it."""

    prompts: list[str]
    responses: list[str]
    golden_responses: Ignored = None


_RESPONSES = msgspec.json.Decoder(Responses)


async def rewards(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """Raw rewards."""
    wire = read(_RESPONSES, body)
    if len(wire.prompts) != len(wire.responses):
        raise MalformedRequest("as many prompts as responses", param="prompts")
    items = [ScoreItem(prompt, response) for prompt, response in zip(wire.prompts, wire.responses, strict=True)]
    scored = await caller.score(request, items, policy=POLICY)
    return answer({"rewards": values_of(scored, raw=True)}, scored)


_EXAMPLE = {"prompts": ["Name a prime number above ten."], "responses": ["Eleven."]}
ALIGN_ANYTHING = Dialect(
    "align-anything",
    DETAIL,
    (Post(("/get_reward",), rewards, Responses, _EXAMPLE, "Rewards of responses", keys=frozenset({"responses"})),),
)
