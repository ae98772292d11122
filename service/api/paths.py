"""What a path is, before anything is routed: its metrics label, which is bounded, and the shape of its errors."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from service.api.keys import Role
from service.api.shapes import INFERENCE, NATIVE, OPENAI, ErrorShape

OTHER = "other"
Endpoint = Callable[[Request], Awaitable[Response]]
_PREFIXES = (("/v2/", INFERENCE), ("/infinity/", OPENAI), ("/v1/", OPENAI), ("", NATIVE))
"""Whose errors an unknown path answers: clients read the reason of a 404 too."""


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """Routes that share a wire format."""

    router: APIRouter
    shape: ErrorShape
    role: Role | None = "score"
    """What a key must open, checked before the body is read. None: the routes check, the key is in a form."""
    forms: bool = False
    """Whether bodies are forms of a browser instead of JSON."""
    direct: bool = False
    """Whether the guard calls its POST endpoints itself: the framework's layers cost more than a short text's score."""


@dataclass(frozen=True, slots=True)
class RouteInfo:
    """A known path."""

    label: str
    """The route's template: however many models or unknown paths there are, labels are few."""
    shape: ErrorShape
    binary: bool = False
    """Whether it reads binary bodies beside JSON."""
    role: Role | None = "score"
    forms: bool = False
    endpoint: Endpoint | None = None
    """Of a POST, where the guard calls it itself."""
    probe: bool = False
    """Whether a GET is answered without a key: load balancers have none."""


class Paths:
    """Maps paths to their routes; all unknown paths share one metrics label."""

    def __init__(
        self,
        route_groups: Iterable[RouteGroup],
        *,
        plain: Iterable[str] = (),
        binary: frozenset[str] = frozenset(),
        probes: frozenset[str] = frozenset(),
        unknown: Iterable[tuple[str, ErrorShape]] = (),
    ) -> None:
        """unknown: (prefix, error format) of 404s under that prefix."""
        self._exact = {path: RouteInfo(path, NATIVE) for path in plain}
        self._patterns: list[tuple[APIRoute, RouteInfo]] = []
        self._unknown = [(prefix, RouteInfo(OTHER, shape)) for prefix, shape in (*unknown, *_PREFIXES)]
        routes = [(group, route) for group in route_groups for route in group.router.routes]
        direct = {
            route.path: route.endpoint
            for group, route in routes
            if group.direct and isinstance(route, APIRoute) and route.methods == {"POST"} and "{" not in route.path
        }
        for group, route in routes:
            assert isinstance(route, APIRoute)  # noqa: S101 - our routers hold nothing else
            path = route.path
            place = RouteInfo(
                path, group.shape, path in binary, group.role, group.forms, direct.get(path), path in probes
            )
            if "{" in route.path:
                self._patterns.append((route, place))
            else:
                self._exact[route.path] = place

    def find(self, path: str) -> RouteInfo:
        """The place of a path."""
        if place := self._exact.get(path):
            return place
        for route, place in self._patterns:
            if route.path_regex.fullmatch(path):
                return place
        return next(place for prefix, place in self._unknown if path.startswith(prefix))
