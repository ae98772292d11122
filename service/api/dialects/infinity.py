"""Infinity, under a prefix: its /classify cannot be told from vLLM's by the body. `raw_scores` is honored."""

import time

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.dialects.common import (
    LABEL,
    Dialect,
    Get,
    Json,
    Post,
    Wire,
    answer,
    plain,
    ranked,
    read,
    served,
    tokens_of,
    values_of,
    version_of,
)
from service.api.shapes import OPENAI
from service.domain import RawText, ScoreItem
from service.errors import MalformedRequest
from service.scoring import Scored


class InfinityClassify(Wire, kw_only=True):
    """Whole texts."""

    model: str | None = None
    input: list[str]
    raw_scores: bool = False


class InfinityRerank(Wire, kw_only=True):
    """One query, its documents."""

    model: str | None = None
    query: str
    documents: list[str]
    return_documents: bool = False
    raw_scores: bool = False
    top_n: int | None = None


_CLASSIFY = msgspec.json.Decoder(InfinityClassify)
_RERANK = msgspec.json.Decoder(InfinityRerank)


async def classify(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """A list of one class a text."""
    wire = read(_CLASSIFY, body)
    items = [RawText(text, special_tokens=True) for text in wire.input]
    scored = await caller.score(request, items, model=_selector(wire.model), cut=False)
    data = [[{"score": value, "label": LABEL}] for value in values_of(scored, raw=wire.raw_scores)]
    return answer({"object": "classify", "data": data, **_head(request, scored)}, scored)


async def rerank(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """Documents by relevance, best first."""
    wire = read(_RERANK, body)
    if wire.top_n is not None and wire.top_n < 1:
        raise MalformedRequest("top_n is 1 or more", param="top_n")
    items = [ScoreItem(wire.query, text) for text in wire.documents]
    scored = await caller.score(request, items, model=_selector(wire.model), cut=False)
    values = values_of(scored, raw=wire.raw_scores)
    results: list[Json] = []
    for place in ranked(scored, wire.top_n):
        document = {"document": wire.documents[place]} if wire.return_documents else {}
        results.append({"relevance_score": values[place], "index": place, **document})
    return answer({"object": "rerank", "results": results, **_head(request, scored)}, scored)


async def models(caller: RequestScorer, _: Request) -> Response:
    """As Infinity's client parses them: it insists on `stats`, and on "infinity" as the owner."""
    inside = caller.gate.items
    queue = {
        "queue_fraction": inside / caller.limits.max_queue_items,
        "queue_absolute": inside,
        "results_pending": inside,
    }
    data: list[Json] = [
        {
            "id": name,
            "stats": {**queue, "queue_seconds": bundle.queued_s},
            "object": "model",
            "owned_by": "infinity",
            "created": int(time.time()),
            "backend": "optimum",
            "capabilities": ["classify", "rerank"],
        }
        for name, bundle in served(caller)
    ]
    return plain({"object": "list", "data": data})


async def health(caller: RequestScorer, _: Request) -> Response:
    """Infinity's answers a clock."""
    caller.check_ready()
    return plain({"unix": time.time()})


def _selector(model: str | None) -> str | None:
    """Infinity's clients send this word when the user names no model."""
    return None if model == "default/not-specified" else model


def _head(request: Request, scored: Scored) -> Json:
    count = tokens_of(scored)
    return {
        "model": version_of(scored),
        "usage": {"prompt_tokens": count, "total_tokens": count},
        "id": f"infinity-{request.scope['request_id']}",
        "created": int(time.time()),
    }


INFINITY = Dialect(
    "Infinity",
    OPENAI,
    (
        Post(
            ("/infinity/classify",),
            classify,
            InfinityClassify,
            {"input": ["Eleven is prime."], "raw_scores": True},
            "Rewards of texts",
        ),
        Post(
            ("/infinity/rerank",),
            rerank,
            InfinityRerank,
            {"query": "Name a prime number above ten.", "documents": ["Twelve.", "Eleven."], "raw_scores": True},
            "Documents by reward",
        ),
    ),
    (
        Get(("/infinity/models",), models, "Names that `model` may be"),
        Get(("/infinity/health",), health, "200 when a model can score", probe=True),
    ),
)
