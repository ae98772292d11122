"""The paths below /ui."""

from importlib.resources import files

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.paths import RouteGroup
from service.ui.access import Parts
from service.ui.experiments import Reports, experiment, experiments
from service.ui.playground import playground
from service.ui.render import HEADERS, PAGE
from service.ui.versions import versions
from service.ui.voting import voting

BELOW = "/ui/"
_FILES = {
    "icon.svg": "image/svg+xml",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
}


def ui_routes(parts: Parts) -> RouteGroup:
    """The pages. Each also answers a POST: keys, and what people write, are in forms and never in a URL."""
    router = APIRouter(prefix="/ui", include_in_schema=False, default_response_class=Response)
    reports = Reports(parts)

    @router.api_route("", methods=["GET", "POST"])
    @router.api_route("/", methods=["GET", "POST"])
    async def _playground(request: Request) -> Response:
        return await playground(parts, request)

    @router.api_route("/versions", methods=["GET", "POST"])
    async def _versions(request: Request) -> Response:
        return await versions(parts, request)

    @router.api_route("/experiments", methods=["GET", "POST"])
    async def _experiments(request: Request) -> Response:
        return await experiments(parts, request)

    @router.api_route("/experiments/{name}", methods=["GET", "POST"])
    async def _experiment(request: Request, name: str) -> Response:
        return await experiment(parts, reports, request, name)

    @router.api_route("/vote", methods=["GET", "POST"])
    async def _vote(request: Request) -> Response:
        return await voting(parts, request)

    for name, kind in _FILES.items():
        _serve(router, name, kind)
    return RouteGroup(router, PAGE, role=None, forms=True)


def _serve(router: APIRouter, name: str, kind: str) -> None:
    content = files("service.ui").joinpath("static", name).read_bytes()

    @router.get(f"/{name}")
    async def _file() -> Response:
        return Response(content, headers=HEADERS, media_type=kind)
