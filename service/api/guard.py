"""The ASGI guard before the framework: request id, key, media type, byte and time caps, connection closing, counting.

Reads the whole body itself, so that a lying or slow client is answered before anything is parsed.
"""

import asyncio
import re
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import Message, Receive, Scope, Send

from service.admission import Gate
from service.api.errors import ErrorReplies
from service.api.keys import Keys
from service.api.paths import OTHER, Endpoint, Paths, RouteInfo
from service.api.shapes import ErrorShape, Failure
from service.errors import Unauthorized, WritesDisabled
from service.settings.groups import HttpSettings
from service.telemetry.metrics import Metrics

CLIENT_LEFT = 499
"""What proxies count a request as whose client closed the connection first; it is never sent."""
_JSON = b"application/json"
_FORM = b"application/x-www-form-urlencoded"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, code: str, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.reason = status, code, message, reason


@dataclass(slots=True)
class _Exchange:
    """Facts about one request and its reply, for the log and the metrics."""

    request_id: str
    route: str
    started: float
    status: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    """`model` and `version`, `experiment` and `arm` where there is one; set by the route."""


class Guard:
    """The outermost ASGI application: whatever the framework does stands behind it."""

    def __init__(
        self,
        app: FastAPI,
        *,
        settings: HttpSettings,
        gate: Gate,
        metrics: Metrics,
        paths: Paths,
        keys: Keys,
        errors: ErrorReplies,
    ) -> None:
        self.app = app
        self._errors = errors
        self._paths = paths
        self._keys = keys
        self._settings = settings
        self._gate = gate
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        place = self._paths.find(scope["path"])
        exchange = _Exchange(_request_id(headers), place.label, time.perf_counter())
        scope["request_id"] = exchange.request_id
        scope["error_shape"] = place.shape
        scope["labels"] = exchange.labels
        reply = self._tagged(send, exchange)
        self._metrics.in_flight.inc()
        try:
            self._check_key(scope, place)
            if place.label == OTHER:
                # The router may know it all the same: its patterns end in $, which a final newline also satisfies.
                raise _Refused(HTTPStatus.NOT_FOUND, "not_found", "not found", reason="")
            body = await self._read_body(scope["method"], headers, receive, place)
            if place.endpoint and scope["method"] == "POST":
                await self._call(place.endpoint, scope, _replay(body, receive), reply)
            else:
                await self.app(scope, _replay(body, receive), reply)
        except ClientDisconnect:
            exchange.status = CLIENT_LEFT
        except _Refused as refusal:
            if refusal.reason:
                self._metrics.rejected.labels(refusal.reason).inc()
            await _refuse(reply, refusal, place.shape, exchange.request_id)
        finally:
            self._metrics.in_flight.dec()
            self._count(exchange)

    async def _call(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer without the framework: its routing, middleware and handlers would do the same, for longer."""
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of a request: it answers, and never with a traceback
            response = self._errors.of(request, error)
        await response(scope, receive, send)

    def _count(self, exchange: _Exchange) -> None:
        labels = exchange.labels
        self._metrics.answered(
            exchange.route,
            labels.get("model", ""),
            labels.get("version", ""),
            exchange.status,
            seconds=time.perf_counter() - exchange.started,
        )

    def _tagged(self, send: Send, exchange: _Exchange) -> Send:
        """Every reply carries the request id, and asks to close the connection while this replica is leaving."""

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                extra = [(b"x-request-id", exchange.request_id.encode())]
                if experiment := exchange.labels.get("experiment"):
                    extra.append((b"x-experiment", experiment.encode()))
                    extra.append((b"x-experiment-arm", exchange.labels["arm"].encode()))
                if self._gate.leaving:
                    extra.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        return tagged

    async def _read_body(self, method: str, headers: dict[bytes, bytes], receive: Receive, place: RouteInfo) -> bytes:
        if method not in {"POST", "PUT", "PATCH"}:
            return b""
        self._check_headers(headers, place)
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                return await self._collect(receive)
        except TimeoutError:
            raise _Refused(
                HTTPStatus.REQUEST_TIMEOUT,
                "body_timeout",
                f"the body did not arrive within {self._settings.body_timeout_s:g} s",
                reason="body_timeout",
            ) from None

    def _check_key(self, scope: Scope, place: RouteInfo) -> None:
        if place.role is None or place.role in self._keys.open:
            return
        if place.probe and scope["method"] in {"GET", "HEAD"}:
            return
        try:
            self._keys.require(HTTPConnection(scope), place.role)
        except (Unauthorized, WritesDisabled) as error:
            status = HTTPStatus.UNAUTHORIZED if isinstance(error, Unauthorized) else HTTPStatus.FORBIDDEN
            raise _Refused(status, error.code, error.message, reason=error.code) from None

    def _check_headers(self, headers: dict[bytes, bytes], place: RouteInfo) -> None:
        wanted = _FORM if place.forms else _JSON
        kind = headers.get(b"content-type", wanted).split(b";")[0].strip().lower()
        if kind != wanted and not (place.binary and kind == b"application/octet-stream"):
            raise _Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                f"send {wanted.decode()}",
                reason="media_type",
            )
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise _Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "unsupported_encoding",
                "send the body without content-encoding",
                reason="media_type",
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._settings.max_body_bytes:
            raise self._too_large()

    async def _collect(self, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(HTTPStatus.BAD_REQUEST, "incomplete_body", "the body ended early", reason="disconnect")
            body += message.get("body", b"")
            if len(body) > self._settings.max_body_bytes:
                raise self._too_large()
            if not message.get("more_body", False):
                return bytes(body)

    def _too_large(self) -> _Refused:
        limit = self._settings.max_body_bytes
        return _Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"the body is larger than {limit} bytes: split the request",
            reason="body_limit",
        )


def _request_id(headers: dict[bytes, bytes]) -> str:
    """The caller's id if it is harmless, else a new one."""
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the collected body on once; then pass on what the connection says (a disconnect)."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


async def _refuse(send: Send, refusal: _Refused, shape: ErrorShape, request_id: str) -> None:
    body, headers = shape.render(Failure(int(refusal.status), refusal.code, refusal.message, None, request_id))
    # The rest of the body was not read, so the connection cannot be used again.
    headers |= {"content-length": str(len(body)), "connection": "close"}
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(refusal.status), "headers": raw})
    await send({"type": "http.response.body", "body": body})
