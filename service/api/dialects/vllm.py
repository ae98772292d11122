"""vLLM's pooling routes: classify, pooling, score, and rerank in the words of Cohere and Jina.

`use_activation` (formerly `activation`, `softmax`) false: the raw reward, as verl asks. Otherwise the calibrated
probability σ((r − r_ref)/T), where vLLM itself gives σ(logit): also in [0, 1] and in the same order.
"""

import time
from collections.abc import Sequence
from typing import Literal

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects.common import (
    LABEL,
    Dialect,
    Ignored,
    Input,
    Json,
    Post,
    Wire,
    WireTurn,
    answer,
    conversation,
    pairs,
    ranked,
    read,
    refused,
    texts_or_tokens,
    tokens_of,
    values_of,
    version_of,
)
from service.api.dialects.vllm_info import GETS, TOKENIZE
from service.api.shapes import OPENAI
from service.domain import Item, ScoreItem
from service.errors import MalformedRequest
from service.scoring import Scored

POLICY = RequestPolicy(timeout_s=60)
"""verl waits for ever, and tries again after a 503 or 504."""


class Common(Wire):
    """What all of them may say. A cut keeps the end; it must be asked for with truncate_prompt_tokens = -1."""

    model: str | None = None
    use_activation: bool | None = None
    activation: bool | None = None
    softmax: bool | None = None
    truncate_prompt_tokens: int | None = None
    truncation_side: Literal["left", "right"] | None = None
    add_special_tokens: bool = True
    priority: Ignored = None
    user: Ignored = None
    request_id: Ignored = None
    cache_salt: Ignored = None

    @property
    def raw(self) -> bool:
        """Whether the reward itself is asked for, in any of the three spellings that vLLM has had."""
        said = {flag for flag in (self.use_activation, self.activation, self.softmax) if flag is not None}
        if len(said) > 1:
            raise MalformedRequest("use_activation, activation and softmax contradict each other")
        return said == {False}

    @property
    def cut(self) -> bool:
        """Whether texts may be cut to the model's length."""
        if self.truncation_side == "right":
            raise refused("truncation_side", "the end of a response is always kept; say left")
        if self.truncate_prompt_tokens not in {None, -1}:
            raise refused("truncate_prompt_tokens", "-1 cuts to what the model reads, no other length")
        return self.truncate_prompt_tokens == -1


class VllmClassify(Common):
    """Whole texts, token ids, or one conversation. The template is the model's own."""

    input: Input | None = None
    messages: list[WireTurn] | None = None
    add_generation_prompt: Literal[False] = False
    continue_final_message: Literal[False] = False
    chat_template: None = None
    chat_template_kwargs: None = None
    encoding_format: Literal["float"] = "float"
    task: Literal["classify", "token_classify"] | None = None

    def items(self) -> list[Item]:
        """Return the items to score."""
        if (self.input is None) == (self.messages is None):
            raise MalformedRequest("give either input or messages", param="input")
        if self.input is not None:
            return texts_or_tokens(self.input, special_tokens=self.add_special_tokens, param="input")
        return [conversation(self.messages or [])]


class VllmScore(Common):
    """Queries (prompts) and documents (responses), n with n or one with n, in vLLM's four spellings."""

    queries: str | list[str] | None = None
    text_1: str | list[str] | None = None
    data_1: str | list[str] | None = None
    documents: str | list[str] | None = None
    items: str | list[str] | None = None
    text_2: str | list[str] | None = None
    data_2: str | list[str] | None = None

    def pairs(self) -> list[Item]:
        """Return the items to score."""
        prompts = _only("queries, text_1 or data_1", self.queries, self.text_1, self.data_1)
        responses = _only("documents, items, text_2 or data_2", self.documents, self.items, self.text_2, self.data_2)
        return pairs(prompts, responses, names="queries and documents")


class Document(Wire):
    """A document as Cohere and Jina may wrap it."""

    text: str


class VllmRerank(Common, kw_only=True):
    """One query (prompt), its documents (responses)."""

    query: str
    documents: list[str | Document]
    top_n: int | None = None
    return_documents: bool = True

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [entry if isinstance(entry, str) else entry.text for entry in self.documents]


_CLASSIFY = msgspec.json.Decoder(VllmClassify)
_SCORE = msgspec.json.Decoder(VllmScore)
_RERANK = msgspec.json.Decoder(VllmRerank)


def _only(names: str, *spellings: str | list[str] | None) -> list[str]:
    given = [value for value in spellings if value is not None]
    if len(given) != 1:
        raise MalformedRequest(f"give one of {names}")
    return [given[0]] if isinstance(given[0], str) else given[0]


async def _score(
    caller: RequestScorer, request: Request, wire: Common, items: Sequence[Item]
) -> tuple[Scored, list[float]]:
    """Score, and give the numbers in the form that was asked for; flags are refused before anything is computed."""
    raw, cut = wire.raw, wire.cut
    scored = await caller.score(request, items, model=wire.model, policy=POLICY, cut=cut)
    return scored, values_of(scored, raw=raw)


async def classify(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """One class, `probs` of one number: the reward, or its probability."""
    wire = read(_CLASSIFY, body)
    scored, values = await _score(caller, request, wire, wire.items())
    data = [{"index": place, "label": LABEL, "probs": [value], "num_classes": 1} for place, value in enumerate(values)]
    return answer(_listing(request, scored, "classify", data), scored)


async def pooling(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """As classify, `data` of one number."""
    wire = read(_CLASSIFY, body)
    scored, values = await _score(caller, request, wire, wire.items())
    data = [{"index": place, "object": "pooling", "data": [value]} for place, value in enumerate(values)]
    return answer(_listing(request, scored, "pool", data), scored)


async def score(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """One number a pair."""
    wire = read(_SCORE, body)
    scored, values = await _score(caller, request, wire, wire.pairs())
    data = [{"index": place, "object": "score", "score": value} for place, value in enumerate(values)]
    return answer(_listing(request, scored, "score", data), scored)


async def rerank(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """Documents by relevance, best first."""
    wire = read(_RERANK, body)
    if wire.top_n is not None and wire.top_n < 0:
        raise MalformedRequest("top_n is 0 (all) or more", param="top_n")
    scored, values = await _score(caller, request, wire, [ScoreItem(wire.query, text) for text in wire.texts])
    results: list[Json] = []
    for place in ranked(scored, wire.top_n):
        document = {"document": {"text": wire.texts[place]}} if wire.return_documents else {}
        results.append({"index": place, "relevance_score": values[place], **document})
    count = tokens_of(scored)
    reply = {
        "id": f"rerank-{request.scope['request_id']}",
        "model": version_of(scored),
        "usage": {"total_tokens": count, "prompt_tokens": count},
        "results": results,
    }
    return answer(reply, scored)


def _listing(request: Request, scored: Scored, kind: str, data: list[Json]) -> Json:
    count = tokens_of(scored)
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0, "prompt_tokens_details": None}
    return {
        "id": f"{kind}-{request.scope['request_id']}",
        "object": "list",
        "created": int(time.time()),
        "model": version_of(scored),
        "data": data,
        "usage": usage,
    }


_TURNS = [
    {"role": "user", "content": "Name a prime number above ten."},
    {"role": "assistant", "content": "Eleven."},
]
_PAIR = {"queries": "Name a prime number above ten.", "documents": ["Eleven.", "Twelve."]}
_GROUP = {"query": "Name a prime number above ten.", "documents": ["Twelve.", "Eleven."], "top_n": 1}
_TEXT = frozenset({"input", "messages"})
VLLM = Dialect(
    "vLLM",
    OPENAI,
    (
        Post(
            ("/classify", "/v1/classify"),
            classify,
            VllmClassify,
            {"messages": _TURNS, "use_activation": False},
            "Rewards of texts, ids or a conversation",
            keys=_TEXT,
        ),
        Post(("/pooling",), pooling, VllmClassify, {"messages": _TURNS}, "The same, in another reply"),
        Post(("/score", "/v1/score"), score, VllmScore, _PAIR, "Rewards of (query, document) pairs"),
        Post(
            ("/rerank", "/v1/rerank", "/v2/rerank"),
            rerank,
            VllmRerank,
            _GROUP,
            "Documents by reward (vLLM, Cohere, Jina)",
            keys=frozenset({"documents"}),
        ),
        TOKENIZE,
    ),
    GETS,
)
