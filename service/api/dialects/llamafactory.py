"""LlamaFactory's `reward_model_type: api`: `POST /v1/score/evaluation`.

Its client neither retries nor looks at the status: a refusal ends the run, so by default these requests wait for room.
"""

import time

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects.common import Dialect, Post, Wire, answer, read, refused, values_of
from service.api.shapes import DETAIL
from service.domain import RawText

POLICY = RequestPolicy(timeout_s=300, overload="block")
"""Its client waits for ever."""


class Evaluation(Wire, kw_only=True):
    """`messages` are whole texts, template applied. `model` is a word that its client always sends: no selector."""

    model: str | None = None
    messages: list[str]
    max_length: int | None = None


_EVALUATION = msgspec.json.Decoder(Evaluation)


async def evaluation(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """Raw rewards."""
    wire = read(_EVALUATION, body)
    items = [RawText(text, special_tokens=False) for text in wire.messages]
    scored = await caller.score(request, items, policy=POLICY)
    if wire.max_length is not None and wire.max_length < scored.manifest.input_format.max_length:
        raise refused("max_length", f"this model reads {scored.manifest.input_format.max_length} tokens")
    reply = {
        "id": f"scoreeval-{request.scope['request_id']}",
        "object": "score.evaluation",
        "created": int(time.time()),
        "model": scored.manifest.model,
        "scores": values_of(scored, raw=True),
    }
    return answer(reply, scored)


_EXAMPLE = {"model": "model", "messages": []}
LLAMAFACTORY = Dialect(
    "LlamaFactory",
    DETAIL,
    (
        Post(
            ("/v1/score/evaluation", "/get_reward"),
            evaluation,
            Evaluation,
            _EXAMPLE,
            "Rewards of whole texts",
            keys=frozenset({"messages"}),
        ),
    ),
)
