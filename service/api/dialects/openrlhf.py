"""OpenRLHF: `POST /get_reward`, what `--reward.remote_url` (formerly `--remote_rm_url`) calls.

`query` is prompt and response as the policy's tokenizer decoded them, template and control tokens included: it is read
as it is. A model that reads prompt and response apart needs `prompts` to tell them apart.
"""

from collections.abc import Sequence

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects.common import (
    Dialect,
    Ignored,
    Json,
    Post,
    Wire,
    answer,
    read,
    rewards_of,
    version_of,
)
from service.api.shapes import DETAIL
from service.domain import RawText
from service.errors import MalformedRequest

POLICY = RequestPolicy(timeout_s=170)
"""Its client gives up after 180 s, and after five refusals a second apart."""


class GetReward(Wire):
    """`labels` is whatever the data set holds; no score depends on it."""

    query: list[str]
    prompts: list[str] | None = None
    labels: Ignored = None


_GET_REWARD = msgspec.json.Decoder(GetReward)


async def get_reward(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """`rewards`: raw; `scores`: calibrated, in [0, 1]; `extra_logs`: lists of numbers only, for it makes tensors."""
    wire = read(_GET_REWARD, body)
    prompts: Sequence[str | None] = wire.prompts or [None] * len(wire.query)
    if len(prompts) != len(wire.query):
        raise MalformedRequest("as many prompts as queries, or none", param="prompts")
    items = [RawText(text, False, prompt) for text, prompt in zip(wire.query, prompts, strict=True)]
    scored = await caller.score(request, items, policy=POLICY)
    rewards = rewards_of(scored)
    reply: Json = {
        "rewards": [reward.value for reward in rewards],
        "scores": [scored.absolute_probability(reward.value) for reward in rewards],
        "extra_logs": {
            "truncated": [int(reward.cut_tokens > 0) for reward in rewards],
            "tokens": [reward.tokens for reward in rewards],
        },
        "model": version_of(scored),
        "calibrated": scored.manifest.calibration is not None,
        "request_id": request.scope["request_id"],
    }
    return answer(reply, scored)


_EXAMPLE = {
    "query": ["Name a prime number above ten. Eleven."],
    "prompts": ["Name a prime number above ten."],
    "labels": [None],
}
OPENRLHF = Dialect(
    "OpenRLHF",
    DETAIL,
    (Post(("/get_reward",), get_reward, GetReward, _EXAMPLE, "Rewards of whole texts", keys=frozenset({"query"})),),
)
