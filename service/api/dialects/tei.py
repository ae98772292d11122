"""Text Embeddings Inference: /predict, /rerank with `texts`, /info.

The trap: `inputs: ["a", "b"]` is one pair, not two texts; `[["a"], ["b"]]` is two texts.
"""

from typing import Literal

import msgspec
from fastapi import Request
from fastapi.responses import Response
from msgspec import field

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
    refused,
    values_of,
)
from service.api.dialects.vllm_info import VERSION
from service.api.shapes import TEI as SHAPE
from service.domain import Item, RawText, ScoreItem
from service.errors import MalformedRequest

Side = Literal["Left", "left", "Right", "right"]


class Common(Wire):
    """A cut must be asked for, and keeps the end."""

    raw_scores: bool | None = None
    truncate: bool | None = None
    truncation_direction: Side | None = None

    @property
    def cut(self) -> bool:
        """Whether texts may be cut."""
        if self.truncate and self.truncation_direction in {"Right", "right"}:
            raise refused("truncation_direction", "the end of a response is always kept; say Left")
        return bool(self.truncate)


class TeiParameters(Wire):
    """What huggingface_hub's text_classification adds."""

    function_to_apply: Literal["sigmoid", "none"] | None = None
    top_k: int | None = None
    """There is one label, so any number of them is one."""


class TeiPredict(Common, kw_only=True):
    """A text, a pair, or a batch of texts [t] and pairs [a, b]."""

    inputs: str | list[str | list[str]]
    parameters: TeiParameters = field(default_factory=TeiParameters)

    @property
    def raw(self) -> bool:
        """Whether the reward itself is asked for, in TEI's or in huggingface_hub's words."""
        function = self.parameters.function_to_apply
        said = {flag for flag in (self.raw_scores, function and function == "none") if flag is not None}
        if len(said) > 1:
            raise MalformedRequest("raw_scores and function_to_apply contradict each other", param="raw_scores")
        return said == {True}

    def items(self) -> tuple[list[Item], bool]:
        """Return the items to score, and whether the request held one input instead of a batch."""
        if isinstance(self.inputs, str):
            return [_item([self.inputs])], True
        if all(isinstance(entry, str) for entry in self.inputs):
            return [_item(self.inputs)], True  # type: ignore[arg-type]
        if any(isinstance(entry, str) for entry in self.inputs):
            raise MalformedRequest('a batch is a list of ["text"] and ["a", "b"]; not mixed with texts', param="inputs")
        return [_item(entry) for entry in self.inputs if not isinstance(entry, str)], False


class TeiRerank(Common, kw_only=True):
    """One query, its texts."""

    query: str
    texts: list[str]
    return_text: bool = False


_PREDICT = msgspec.json.Decoder(TeiPredict)
_RERANK = msgspec.json.Decoder(TeiRerank)


def _item(texts: list[str]) -> Item:
    if len(texts) == 1:
        return RawText(texts[0], special_tokens=True)
    if len(texts) == 2:
        return ScoreItem(texts[0], texts[1])
    raise MalformedRequest('an input is "text", ["text"] or a pair ["a", "b"]', param="inputs")


async def predict(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """One label: its probability, or the raw reward."""
    wire = read(_PREDICT, body)
    raw, (items, single) = wire.raw, wire.items()
    scored = await caller.score(request, items, cut=wire.cut)
    reply = [[{"score": value, "label": LABEL}] for value in values_of(scored, raw=raw)]
    return answer(reply[0] if single else reply, scored)


async def rerank(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """A bare list, best first."""
    wire = read(_RERANK, body)
    if not wire.texts:
        raise MalformedRequest("texts is empty: there is nothing to rank", param="texts")
    scored = await caller.score(request, [ScoreItem(wire.query, text) for text in wire.texts], cut=wire.cut)
    values = values_of(scored, raw=bool(wire.raw_scores))
    reply: list[Json] = []
    for place in ranked(scored, None):
        text = {"text": wire.texts[place]} if wire.return_text else {}
        reply.append({"index": place, "score": values[place], **text})
    return answer(reply, scored)


async def info(caller: RequestScorer, _: Request) -> Response:
    """What the default model is, in TEI's words."""
    with caller.live.pin(None) as bundle:
        manifest, limits = bundle.manifest, caller.limits
        labels = {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}}
        reply = {
            "model_id": manifest.model,
            "model_sha": bundle.digest,
            "model_dtype": manifest.precision,
            "model_type": {"classifier": labels},
            "max_concurrent_requests": limits.max_queue_items,
            "max_input_length": manifest.input_format.max_length,
            "max_batch_tokens": limits.max_queue_tokens,
            "max_batch_requests": None,
            "max_client_batch_size": limits.max_items_per_request,
            "auto_truncate": False,
            "tokenization_workers": 2,
            "version": VERSION,
            "sha": None,
            "docker_label": None,
        }
    return plain(reply)


_PAIR = {"inputs": [["Name a prime number above ten.", "Eleven."]], "raw_scores": True}
_GROUP = {"query": "Name a prime number above ten.", "texts": ["Twelve.", "Eleven."], "raw_scores": True}
TEI = Dialect(
    "TEI",
    SHAPE,
    (
        Post(("/predict", "/"), predict, TeiPredict, _PAIR, "Rewards of texts or pairs", keys=frozenset({"inputs"})),
        Post(("/rerank",), rerank, TeiRerank, _GROUP, "Texts by reward", keys=frozenset({"texts"})),
    ),
    (Get(("/info",), info, "The default model"),),
)
