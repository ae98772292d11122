"""slime's `--rm-type remote_rm`: one sample in, and the reply's whole body is the reward.

`--reward-key score` (or `probability`) wants an object: give it `--rm-url http://host:8080/get_reward?reply=object`.
"""

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects.common import (
    Dialect,
    Ignored,
    Post,
    Wire,
    WireTurn,
    answer,
    messages,
    read,
    rewards_of,
)
from service.api.shapes import DETAIL
from service.domain import Prompt, ScoreItem

POLICY = RequestPolicy(timeout_s=110)
"""Its client gives up after 120 s in all."""


class Sample(Wire):
    """`label` and `metadata` are the data set's; no score depends on them."""

    prompt: str | list[WireTurn]
    response: str
    label: Ignored = None
    metadata: Ignored = None


_SAMPLE = msgspec.json.Decoder(Sample)


async def reward(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """A bare number, or {"score", "probability"} if the URL says ?reply=object."""
    wire = read(_SAMPLE, body)
    scored = await caller.score(request, [ScoreItem(_prompt(wire.prompt), wire.response)], policy=POLICY)
    value = rewards_of(scored)[0].value
    if request.query_params.get("reply") == "object":
        return answer({"score": value, "probability": scored.absolute_probability(value)}, scored)
    return answer(value, scored)


def _prompt(wire: str | list[WireTurn]) -> Prompt:
    return wire if isinstance(wire, str) else messages(wire, param="prompt")


_EXAMPLE = {"prompt": "Name a prime number above ten.", "response": "Eleven.", "label": None}
SLIME = Dialect(
    "slime",
    DETAIL,
    (Post(("/get_reward",), reward, Sample, _EXAMPLE, "The reward of one sample", keys=frozenset({"response"})),),
)
