"""What vLLM tells about itself: models, health, version, tokens."""

import importlib.metadata
import time
from typing import Literal

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.dialects.common import (
    Get,
    Json,
    Post,
    Wire,
    WireTurn,
    conversation,
    plain,
    read,
    served,
)
from service.domain import Encoding, Item, RawText
from service.errors import MalformedRequest

_STARTED = int(time.time())
VERSION = importlib.metadata.version("plurality")


class Tokenize(Wire):
    """A text or a conversation."""

    model: str | None = None
    prompt: str | None = None
    messages: list[WireTurn] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: Literal[False] = False

    def item(self) -> Item:
        """Return the item to tokenize."""
        if (self.prompt is None) == (self.messages is None):
            raise MalformedRequest("give either prompt or messages", param="prompt")
        if self.messages is not None:
            return conversation(self.messages)
        return RawText(self.prompt or "", self.add_special_tokens)


_TOKENIZE = msgspec.json.Decoder(Tokenize)


async def tokenize(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """The ids that the model would read; refused where it would have to cut."""
    wire = read(_TOKENIZE, body)
    manifest, [encoding] = await caller.tokenize(request, [wire.item()], model=wire.model)
    if not isinstance(encoding, Encoding):
        raise encoding
    longest = manifest.input_format.max_length
    return plain(
        {
            "count": len(encoding.ids) + encoding.cut_tokens,
            "max_model_len": longest,
            "tokens": encoding.ids,
            "token_strs": None,
        }
    )


async def models(caller: RequestScorer, _: Request) -> Response:
    """Every name that `model` may be: a model, or model@alias."""
    data: list[Json] = [
        {
            "id": name,
            "object": "model",
            "created": _STARTED,
            "owned_by": "plurality",
            "root": bundle.name,
            "parent": None,
            "max_model_len": bundle.manifest.input_format.max_length,
        }
        for name, bundle in served(caller)
    ]
    return plain({"object": "list", "data": data})


async def health(caller: RequestScorer, _: Request) -> Response:
    """200 and nothing, or why not."""
    caller.check_ready()
    return Response(b"")


async def version(_: RequestScorer, __: Request) -> Response:
    """Ours, not vLLM's."""
    return plain({"version": VERSION})


GETS = (
    Get(("/v1/models",), models, "Names that `model` may be"),
    Get(("/health", "/ping"), health, "200 when a model can score", probe=True),
    Get(("/version",), version, "The version of this service"),
)
TOKENIZE = Post(
    ("/tokenize",),
    tokenize,
    Tokenize,
    {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]},
    "Token ids as the model reads them",
)
