"""KServe's v1 protocol (and Vertex's): {"instances": [...]} -> {"predictions": [...]}, raw rewards."""

import msgspec
from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.dialects.common import (
    Dialect,
    Get,
    Post,
    Wire,
    answer,
    plain,
    read,
    values_of,
)
from service.api.shapes import INFERENCE
from service.domain import Item, RawText, ScoreItem
from service.errors import MalformedRequest


class Instance(Wire):
    """A whole text, or a prompt and its response."""

    text: str | None = None
    prompt: str | None = None
    response: str | None = None

    def item(self) -> Item:
        """Return the item to score."""
        if self.text is not None and self.prompt is None and self.response is None:
            return RawText(self.text, special_tokens=True)
        if self.text is None and self.prompt is not None and self.response is not None:
            return ScoreItem(self.prompt, self.response)
        raise MalformedRequest("an instance has text, or prompt and response", param="instances")


class KservePredict(Wire):
    """Texts, or records."""

    instances: list[str | Instance]


_PREDICT = msgspec.json.Decoder(KservePredict)


async def predict(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """One number an instance."""
    wire = read(_PREDICT, body)
    items = [
        RawText(entry, special_tokens=True) if isinstance(entry, str) else entry.item() for entry in wire.instances
    ]
    scored = await caller.score(request, items, model=request.path_params.get("model"))
    return answer({"predictions": values_of(scored, raw=True)}, scored)


async def ready(caller: RequestScorer, request: Request) -> Response:
    """200 if the model is resident."""
    caller.check_ready()
    with caller.live.pin(caller.resolve(request.path_params["model"])) as bundle:
        return plain({"name": bundle.manifest.model, "ready": True})


async def alive(_: RequestScorer, __: Request) -> Response:
    """The process answers."""
    return plain({"status": "alive"})


_EXAMPLE = {"instances": [{"prompt": "Name a prime number above ten.", "response": "Eleven."}]}
KSERVE = Dialect(
    "KServe v1",
    INFERENCE,
    (
        Post(
            ("/v1/models/{model}:predict", "/predict"),
            predict,
            KservePredict,
            _EXAMPLE,
            "Raw rewards of instances",
            keys=frozenset({"instances"}),
        ),
    ),
    (
        Get(("/v1/models/{model}",), ready, "This model can score"),
        Get(("/",), alive, "The process answers", probe=True),
    ),
)
