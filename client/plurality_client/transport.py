"""One request with its retries, on one event loop and one connection pool."""

import asyncio
import json
from typing import Any

import httpx

from plurality_client.errors import (
    BadReply,
    DeadlineExceeded,
    InvalidRequest,
    PluralityClientError,
    Refused,
    Unavailable,
    UnknownModel,
)
from plurality_client.options import Options
from plurality_client.replies import Json, decode
from plurality_client.retry import delay_s, may_retry, retry_after_s
from plurality_client.timing import Timing

_CONNECT_TIMEOUT_S = 10.0
_NO_ANSWER = "no_answer"
_TIMEOUT_HEADER = "x-request-timeout-ms"


class Transport:
    """At most `concurrency` requests at once.

    A request that waits to be repeated keeps its place, so that a full server is not asked the more.
    """

    def __init__(self, options: Options, timing: Timing) -> None:
        self._options, self._timing = options, timing
        self._slots = asyncio.Semaphore(options.concurrency)
        self._http = httpx.AsyncClient(
            base_url=options.url,
            headers=list(options.headers),
            timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=options.concurrency, max_keepalive_connections=options.concurrency),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Json | None, *, deadline: float) -> Json:
        """The reply's JSON object; asked again after failures that may pass.

        Args:
            deadline: on the clock of Timing.

        Raises:
            PluralityClientError: one of its leaves but VersionChanged and ItemFailed.
        """
        content = None if body is None else _encode(body)
        left_s = max(0.0, deadline - self._timing.clock())
        failures: list[Unavailable] = []
        try:
            async with asyncio.timeout(left_s), self._slots:
                return await self._attempts(method, path, content, deadline, failures)
        except TimeoutError:
            raise _too_late(failures) from None

    async def _attempts(
        self, method: str, path: str, content: bytes | None, deadline: float, failures: list[Unavailable]
    ) -> Json:
        while True:
            left_s = deadline - self._timing.clock()
            if left_s <= 0:
                raise _too_late(failures)
            try:
                return await self._once(method, path, content, min(left_s, self._options.attempt_timeout_s))
            except Unavailable as error:
                failures.append(error)
            await self._timing.sleep(self._pause_s(deadline, failures))

    def _pause_s(self, deadline: float, failures: list[Unavailable]) -> float:
        """How long to wait before asking again; raises the last failure if that is no use."""
        last, attempt = failures[-1], len(failures)
        if last.status is not None and not may_retry(last.status, attempt):
            raise last
        pause_s = delay_s(attempt, last.retry_after_s, self._timing.jitter())
        if pause_s < deadline - self._timing.clock():
            return pause_s
        if last.status == 504 or last.code == _NO_ANSWER:
            raise _too_late(failures)
        raise last

    async def _once(self, method: str, path: str, content: bytes | None, limit_s: float) -> Json:
        headers = {_TIMEOUT_HEADER: str(max(1, int(limit_s * 1000)))}
        if content is not None:
            headers["content-type"] = "application/json"
        try:
            async with asyncio.timeout(limit_s):
                reply = await self._http.request(method, path, content=content, headers=headers)
        except TimeoutError:
            raise Unavailable(f"no answer within {limit_s:.3g} s", code=_NO_ANSWER) from None
        except httpx.DecodingError:
            raise BadReply("the reply's content encoding is broken") from None
        except httpx.HTTPError as error:
            # What httpx says may hold the address, never a body.
            raise Unavailable(f"{type(error).__name__}: {error}", code="transport") from None
        if reply.status_code == 200:
            return decode(reply.content)
        raise self._error(reply)

    def _error(self, reply: httpx.Response) -> PluralityClientError:
        status = reply.status_code
        code, message, request_id = _detail(reply)
        text = f"HTTP {status}, {code}: {message}"
        if status in {408, 429} or status >= 500:
            advice_s = retry_after_s(reply.headers.get("retry-after"), now=self._timing.wall())
            return Unavailable(text, code=code, request_id=request_id, status=status, retry_after_s=advice_s)
        if status == 404 and code == UnknownModel.code:
            return UnknownModel(message, code=code, request_id=request_id)
        kind = InvalidRequest if status in {400, 413, 422} else Refused
        return kind(text, code=code, request_id=request_id)


def _encode(body: Json) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        # UnicodeEncodeError is a ValueError that quotes the text: only its kind is told.
        raise InvalidRequest(f"the request cannot be written as JSON in UTF-8 ({type(error).__name__})") from None


def _detail(reply: httpx.Response) -> tuple[str, str, str | None]:
    """Code, message and request id of an error; a proxy's error page has none of them."""
    request_id = reply.headers.get("x-request-id")
    try:
        detail: Any = decode(reply.content).get("error")
    except BadReply:
        detail = None
    if not isinstance(detail, dict):
        return f"http_{reply.status_code}", reply.reason_phrase or "no reason given", request_id
    return str(detail.get("code")), str(detail.get("message")), detail.get("request_id") or request_id


def _too_late(failures: list[Unavailable]) -> DeadlineExceeded:
    last = f"; {len(failures)} attempts failed, the last: {failures[-1].message}" if failures else ""
    return DeadlineExceeded(f"the deadline passed{last}")
