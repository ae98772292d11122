"""From a template to a reply: autoescaped HTML, and the headers that every reply below /ui carries."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi.responses import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from service.api.shapes import ErrorShape, Failure

HEADERS = {
    "cache-control": "no-store",
    # Nothing inline, nothing from elsewhere: text that got past the escaping could still not run or call out.
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_HTML = "text/html; charset=utf-8"
_TITLES = {
    401: "A key is needed", 403: "Not allowed", 404: "Not found", 405: "Not this way", 409: "Something is in the way",
    413: "Too large", 415: "Not a form", 422: "Something is wrong with the form", 429: "Full", 503: "Not now",
    504: "Too slow",
}  # fmt: skip

_PLAINER = {
    "not found": "There is no page at this address.",
    "method not allowed": "A page is looked at, or sent a form.",
}


def _when(seconds: float) -> str:
    """Seconds since the epoch for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


_TEMPLATES = Environment(
    loader=PackageLoader("service.ui"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_TEMPLATES.filters |= {"when": _when, "percent": _percent}


def page(template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any) -> Response:
    """A page of ours."""
    text = _TEMPLATES.get_template(template).render(**values)
    return Response(text, status, {**HEADERS, **(headers or {})}, media_type=_HTML)


def failure_page(status: int, message: str, request_id: str | None = None) -> Response:
    """An error as a page."""
    title, message = _TITLES.get(status, "Something went wrong"), _PLAINER.get(message, message)
    return page("error.html", status=status, title=title, message=message, request_id=request_id, here="")


@dataclass(frozen=True, slots=True)
class _PageShape(ErrorShape):
    def render(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        """The page of an error."""
        reply = failure_page(failure.status, failure.message, failure.request_id)
        return bytes(reply.body), {**HEADERS, "content-type": _HTML}


PAGE = _PageShape(body=lambda failure: {}, mistake=422)
"""Errors below /ui: a page in the look of the others."""
