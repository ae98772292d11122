"""One request to `<url>/chat/completions`, with its retries. The key is in a header, and nowhere else."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import msgspec

from plurality.training.errors import TrainingError
from plurality.training.judge.errors import AccessDenied, BadRequest, JudgeError, Unreachable
from plurality.training.judge.rate_limit import RateLimiter, Timing, backoff_s, is_transient, retry_after_s
from plurality.training.judge.replies import JudgeReply, read_reply
from plurality.training.judge.requests import Request

_CONNECT_TIMEOUT_S = 10.0
_LONGEST_PAUSE_S = 3600.0
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
_PERMANENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_SHOWN = 300
_QUOTED = 24
"""So many characters in a row that are also in the prompt are a quotation."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the judge is, and how patiently it is asked."""

    url: str
    """Ends where `/chat/completions` begins: usually in /v1."""
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    attempts: int = 8
    per_minute: float | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise TrainingError("the endpoint must look like https://host/v1")
        if parts.path.rstrip("/").endswith("/chat/completions"):
            raise TrainingError("the endpoint ends where /chat/completions begins: leave that out")
        if parts.username or parts.password:
            raise TrainingError("the endpoint's URL holds a password; use --api-key-env")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable()):
            raise TrainingError("the API key holds characters that no HTTP header can")


class Client:
    """One pool of connections; no redirects, since they would carry the key elsewhere."""

    def __init__(self, endpoint: Endpoint, *, concurrency: int, timing: Timing | None = None) -> None:
        self._endpoint = endpoint
        self._timing = timing or Timing()
        self._limiter = RateLimiter(endpoint.per_minute, self._timing)
        headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._http = httpx.AsyncClient(
            headers=headers | {"content-type": "application/json"},
            timeout=httpx.Timeout(endpoint.timeout_s, connect=_CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )
        self.retries = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, request: Request) -> JudgeReply:
        """The endpoint's answers.

        Raises:
            BadReply, BadRequest: this request has no answer.
            AccessDenied, Unreachable: no request has.
        """
        content = msgspec.json.encode(request.body)
        for attempt in range(1, self._endpoint.attempts + 1):
            await self._limiter.acquire()
            try:
                reply = await self._http.post(f"{self._endpoint.url.rstrip('/')}/chat/completions", content=content)
            except httpx.HTTPError as error:
                error_detail, advice_s = type(error).__name__, None
            else:
                if reply.status_code == 200:
                    at = datetime.fromtimestamp(self._timing.wall(), UTC).isoformat(timespec="seconds")
                    return read_reply(request, reply.content, at=at)
                error_detail = self._error_detail(reply, request)
                advice_s = retry_after_s(reply.headers.get("retry-after"), now=self._timing.wall())
            if attempt < self._endpoint.attempts:
                self.retries += 1
                if advice_s is not None:
                    self._pause(advice_s, error_detail)
                await self._timing.sleep(backoff_s(attempt, self._timing.chance()))
        raise Unreachable(f"no answer in {self._endpoint.attempts} attempts, the last: {error_detail}")

    def _pause(self, advice_s: float, error_detail: str) -> None:
        if advice_s > _LONGEST_PAUSE_S:
            raise Unreachable(f"the endpoint asks to come back in {advice_s:.0f} s: {error_detail}")
        self._limiter.pause(advice_s)

    def _error_detail(self, reply: httpx.Response, request: Request) -> str:
        """What a transient status says; raises for one that will not pass."""
        code, message = _detail(reply)
        text = f"HTTP {reply.status_code}{f', {code}' if code else ''}"
        if message and message != code and not _quotes(message, request):
            text += f": {message}"
        text = (text.replace(self._endpoint.api_key, "***") if self._endpoint.api_key else text)[:_SHOWN]
        if code in _PERMANENT_CODES:
            raise AccessDenied(text)
        if is_transient(reply.status_code):
            return text
        kind: type[JudgeError] = BadRequest if reply.status_code in _ABOUT_THE_REQUEST else AccessDenied
        raise kind(text)


def _detail(reply: httpx.Response) -> tuple[str, str]:
    """Code and message of an error in OpenAI's shape, or in vLLM's older flat one; empty where there is none."""
    try:
        body: Any = msgspec.json.decode(reply.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "", reply.reason_phrase
    detail = body.get("error", body) if isinstance(body, dict) else {}
    if not isinstance(detail, dict):
        detail = {"message": detail} if isinstance(detail, str) else {}
    code, message = detail.get("code") or detail.get("type"), detail.get("message")
    return str(code or ""), message if isinstance(message, str) else ""


def _quotes(message: str, request: Request) -> bool:
    """Whether an error's message repeats a piece of the prompt: then it is not shown."""
    texts = [str(entry["content"]) for entry in request.body["messages"]]
    pieces = (message[start : start + _QUOTED] for start in range(max(1, len(message) - _QUOTED + 1)))
    return any(piece in text for piece in pieces if len(piece) == _QUOTED for text in texts)
