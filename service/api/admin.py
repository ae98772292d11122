"""Moving aliases over HTTP, for a server that is configured as writer of its store.

Every change is logged: who, what, from where to where.
"""

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.admin_wire import AliasMoved, MoveAlias, Rollback
from service.api.keys import fingerprint
from service.api.openapi import answers, failures, request_body
from service.api.paths import RouteGroup
from service.api.routes import JsonReply, decode
from service.api.shapes import NATIVE
from service.telemetry.logs import get_logger
from service.versions.admin import Admin, Moved

_MOVE = msgspec.json.Decoder(MoveAlias)
_ROLLBACK = msgspec.json.Decoder(Rollback)
_ERRORS = failures(
    {
        401: "No key, or none that opens admin routes",
        403: "No admin key is configured, or this server does not write its store",
        404: "No such model, alias or version",
        409: "The version is not loaded, there is nothing to go back to, or somebody else is writing",
        422: "Malformed",
    }
)
_log = get_logger(__name__)


def admin_routes(admin: Admin) -> RouteGroup:
    """`/rm/v1/models/{name}`: aliases and rollback. Each needs an admin key."""
    router = APIRouter(
        prefix="/rm/v1/models/{name}", responses=_ERRORS, default_response_class=Response, tags=["admin"]
    )
    answer = answers(AliasMoved, "What became of the alias")

    @router.put(
        "/aliases/{alias}",
        responses=answer,
        summary="Point an alias at a loaded version",
        openapi_extra=request_body(MoveAlias, {"version": "candidate"}),
    )
    async def put(request: Request, name: str, alias: str) -> Response:
        body = decode(_MOVE, await request.body())
        return _moved(request, name, await admin.move(name, alias, body.version), "alias_set")

    @router.delete("/aliases/{alias}", responses=answer, summary="Remove an alias")
    async def delete(request: Request, name: str, alias: str) -> Response:
        return _moved(request, name, await admin.remove(name, alias), "alias_removed")

    @router.post(
        "/rollback",
        responses=answer,
        summary="Point an alias at the version that it named before",
        openapi_extra=request_body(Rollback, {"alias": "stable"}),
    )
    async def rollback(request: Request, name: str) -> Response:
        body = decode(_ROLLBACK, await request.body())
        return _moved(request, name, await admin.roll_back(name, body.alias), "rollback")

    return RouteGroup(router, NATIVE, role="admin")


def _moved(request: Request, model: str, moved: Moved, action: str) -> Response:
    request_id = request.scope["request_id"]
    # A warning, so that quieter log levels keep it.
    _log.warning(
        "audit", action=action, who=fingerprint(request), model=model, alias=moved.alias, before=moved.before,
        after=moved.after, generation=moved.generation, request_id=request_id,
    )  # fmt: skip
    return JsonReply(AliasMoved(request_id, model, moved.alias, moved.after, moved.before, moved.generation))
