"""SGLang's native /classify and its embeddings: the reward itself, in `embedding`. No softmax, no default class."""

import time
from typing import Literal

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.dialects.common import (
    Dialect,
    Ignored,
    Input,
    Json,
    Post,
    Wire,
    answer,
    ranked,
    read,
    rewards_of,
    texts_or_tokens,
    tokens_of,
    values_of,
    version_of,
)
from service.api.dialects.vllm import POLICY
from service.api.shapes import OPENAI
from service.domain import ScoreItem
from service.errors import MalformedRequest


class SglangClassify(Wire):
    """`text` or `input_ids`."""

    model: str | None = None
    text: str | list[str] | None = None
    input_ids: list[int | list[int]] | None = None
    rid: Ignored = None
    priority: Ignored = None


class SglangEmbeddings(Wire, kw_only=True):
    """What verl sends in its SGLang mode."""

    model: str | None = None
    input: Input
    encoding_format: Literal["float", "base64"] = "float"
    """The openai package asks for base64, and reads a list of numbers as well: that loses no digit."""
    user: Ignored = None
    rid: Ignored = None
    priority: Ignored = None


class SglangRerank(Wire, kw_only=True):
    """One query, its documents."""

    model: str | None = None
    query: str
    documents: list[str]
    top_n: int | None = None
    return_documents: bool = True


_CLASSIFY = msgspec.json.Decoder(SglangClassify)
_EMBEDDINGS = msgspec.json.Decoder(SglangEmbeddings)
_RERANK = msgspec.json.Decoder(SglangRerank)


async def classify(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """A list, or one object for one text."""
    wire = read(_CLASSIFY, body)
    value = wire.text if wire.text is not None else wire.input_ids
    if value is None or (wire.text is not None and wire.input_ids is not None):
        raise MalformedRequest("give either text or input_ids", param="text")
    single = isinstance(value, str) or (bool(value) and isinstance(value[0], int))
    items = texts_or_tokens(value, special_tokens=True, param="text")  # type: ignore[arg-type]
    began = time.perf_counter()
    scored = await caller.score(request, items, model=wire.model, policy=POLICY, cut=False)
    seconds = time.perf_counter() - began
    reply: list[Json] = [
        {
            "embedding": [reward.value],
            "meta_info": {
                "id": f"{request.scope['request_id']}-{place}",
                "prompt_tokens": reward.tokens,
                "e2e_latency": seconds,
            },
        }
        for place, reward in enumerate(rewards_of(scored))
    ]
    return answer(reply[0] if single else reply, scored)


async def embeddings(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """An embedding of one number."""
    wire = read(_EMBEDDINGS, body)
    items = texts_or_tokens(wire.input, special_tokens=True, param="input")
    scored = await caller.score(request, items, model=wire.model, policy=POLICY, cut=False)
    count = tokens_of(scored)
    reply = {
        "object": "list",
        "model": version_of(scored),
        "data": [
            {"object": "embedding", "index": place, "embedding": [value]}
            for place, value in enumerate(values_of(scored, raw=True))
        ],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }
    return answer(reply, scored)


async def rerank(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """A bare list of raw rewards, best first."""
    wire = read(_RERANK, body)
    if wire.top_n is not None and wire.top_n < 0:
        raise MalformedRequest("top_n is 0 (all) or more", param="top_n")
    items = [ScoreItem(wire.query, text) for text in wire.documents]
    scored = await caller.score(request, items, model=wire.model, policy=POLICY, cut=False)
    rewards = rewards_of(scored)
    reply: list[Json] = []
    for place in ranked(scored, wire.top_n):
        document = {"document": wire.documents[place]} if wire.return_documents else {}
        meta = {"id": f"{request.scope['request_id']}-{place}", "prompt_tokens": rewards[place].tokens}
        reply.append({"score": rewards[place].value, **document, "index": place, "meta_info": meta})
    return answer(reply, scored)


_TEXT = frozenset({"text", "input_ids"})
SGLANG = Dialect(
    "SGLang",
    OPENAI,
    (
        Post(
            ("/classify",),
            classify,
            SglangClassify,
            {"text": ["Eleven is prime."]},
            "Raw rewards of texts or ids",
            keys=_TEXT,
        ),
        Post(
            ("/v1/embeddings",),
            embeddings,
            SglangEmbeddings,
            {"model": None, "input": ["Eleven is prime."]},
            "Raw rewards as embeddings of one number",
        ),
    ),
)
SGLANG_RERANK = Post(
    ("/v1/rerank",),
    rerank,
    SglangRerank,
    {"query": "Name a prime number above ten.", "documents": ["Twelve.", "Eleven."]},
    "Documents by raw reward, as a bare list",
)
"""In place of vLLM's where the settings say so: the requests look alike."""
