"""Other servers' wire formats on this one port: a file each, translators without logic, onto the one Scorer.

Where several share a path, a top-level key of the body tells them apart; the table is made of each `Post`'s keys.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response
from msgspec import Struct

from service.api.calls import RequestScorer
from service.api.dialects.align_anything import ALIGN_ANYTHING
from service.api.dialects.common import Dialect, Get, Post
from service.api.dialects.infinity import INFINITY
from service.api.dialects.kserve import KSERVE
from service.api.dialects.llamafactory import LLAMAFACTORY
from service.api.dialects.oip import OIP
from service.api.dialects.openrlhf import OPENRLHF
from service.api.dialects.sglang import SGLANG, SGLANG_RERANK
from service.api.dialects.slime import SLIME
from service.api.dialects.tei import TEI
from service.api.dialects.vllm import VLLM
from service.api.openapi import alternatives
from service.api.paths import RouteGroup
from service.api.shapes import ErrorShape
from service.errors import MalformedRequest
from service.settings import Settings
from service.wire import malformed, too_deep

ALL = (OPENRLHF, SLIME, ALIGN_ANYTHING, LLAMAFACTORY, VLLM, SGLANG, TEI, INFINITY, OIP, KSERVE)
DIALECT_WIRE: tuple[type[Struct], ...] = tuple(
    dict.fromkeys(post.wire for dialect in ALL for post in (*dialect.posts, SGLANG_RERANK))
)
"""Everything that OpenAPI describes of them."""
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
Owned = tuple[Dialect, Post]


def dialects(caller: RequestScorer, settings: Settings) -> list[RouteGroup]:
    """Every dialect's routes, a group for each shape of errors."""
    caller = replace(caller, names=settings.dialects.models)
    shared: dict[str, list[Owned]] = {}
    for dialect in _chosen(settings):
        for post in dialect.posts:
            for path in post.paths:
                shared.setdefault(path, []).append((dialect, post))
    routers: dict[ErrorShape, APIRouter] = {}
    for path, owners in shared.items():
        router = routers.setdefault(owners[0][0].shape, APIRouter(default_response_class=Response))
        _add_post(router, path, owners, caller)
    for dialect in ALL:
        router = routers.setdefault(dialect.shape, APIRouter(default_response_class=Response))
        for get in dialect.gets:
            _add_get(router, dialect, get, caller)
    return [RouteGroup(router, shape, direct=True) for shape, router in routers.items()]


def binary_paths() -> frozenset[str]:
    """Route templates that read binary bodies beside JSON."""
    return frozenset(path for dialect in ALL for post in dialect.posts if post.binary for path in post.paths)


def probe_paths() -> frozenset[str]:
    """Paths whose GET needs no key."""
    return frozenset(path for dialect in ALL for get in dialect.gets if get.probe for path in get.paths)


def _chosen(settings: Settings) -> Sequence[Dialect]:
    """All dialects; where the settings say so, SGLang's /v1/rerank in place of vLLM's."""
    if settings.dialects.rerank == "vllm":
        return ALL
    taken = set(SGLANG_RERANK.paths)

    def without(post: Post) -> Post:
        return replace(post, paths=tuple(path for path in post.paths if path not in taken))

    vllm = replace(VLLM, posts=tuple(without(post) for post in VLLM.posts))
    sglang = replace(SGLANG, posts=(*SGLANG.posts, SGLANG_RERANK))
    return [{"vLLM": vllm, "SGLang": sglang}.get(dialect.name, dialect) for dialect in ALL]


def _add_post(router: APIRouter, path: str, owners: Sequence[Owned], caller: RequestScorer) -> None:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        dialect, post = owners[0] if len(owners) == 1 else _pick(body, owners)
        request.scope["error_shape"] = dialect.shape
        return await post.endpoint(caller, request, body)

    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        name=" / ".join(f"{dialect.name} {path}" for dialect, _ in owners),
        summary=" | ".join(post.summary for _, post in owners),
        tags=list(dict.fromkeys(dialect.name for dialect, _ in owners)),
        openapi_extra=alternatives([(post.wire, dialect.name, post.example) for dialect, post in owners]),
    )


def _pick(body: bytes, owners: Sequence[Owned]) -> Owned:
    """The dialect that a body on a shared path is of."""
    try:
        keys = _KEYS.decode(body).keys()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from None
    except RecursionError:
        raise too_deep() from None
    for owner in owners:
        if owner[1].keys & keys:
            return owner
    ways = "; ".join(f"{' or '.join(sorted(post.keys))} ({dialect.name})" for dialect, post in owners)
    raise MalformedRequest(f"this path is shared, and the body has none of the fields that tell whose it is: {ways}")


def _add_get(router: APIRouter, dialect: Dialect, get: Get, caller: RequestScorer) -> None:
    def bound(endpoint: Callable[[RequestScorer, Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Any]]:
        async def called(request: Request) -> Response:
            return await endpoint(caller, request)

        return called

    for path in get.paths:
        router.add_api_route(
            path,
            bound(get.endpoint),
            methods=["GET"],
            name=f"{dialect.name} {path}",
            summary=get.summary,
            tags=[dialect.name],
        )
