"""A real HTTP server whose answers a test writes, and a time that passes only by sleeping."""

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from plurality_client.timing import Timing

DIGEST = "a" * 64
OTHER = "b" * 64
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True)
class Answer:
    """What is sent back; a status of 0 closes the connection without a word."""

    status: int = 200
    body: Json | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    """Bytes of the body that are promised and never sent."""


Script = Callable[[Asked], Answer]


def model(digest: str = DIGEST) -> Json:
    """The model of a reply."""
    base = {"name": "tiny", "sequence": 3, "objective": "baseline", "precision": "fp32", "calibrated": True}
    return {**base, "version": digest}


def item(reward: Any) -> Json:
    """A scored item."""
    return {"reward": reward, "tokens": 5, "truncated": False, "cut_tokens": 0, "error": None}


def failed(code: str = "non_finite_reward") -> Json:
    """An item with an error of its own."""
    nothing = dict.fromkeys(("reward", "tokens", "truncated", "cut_tokens"))
    return {**nothing, "error": {"code": code, "message": "the model answered NaN"}}


def scored(asked: Asked, digest: str = DIGEST) -> Answer:
    """Each response is a number, and its own reward."""
    items = [item(float(one["response"])) for one in asked.body["items"]]
    return Answer(body={"request_id": "r", "model": model(digest), "items": items})


def reply(**fields: Any) -> Answer:
    """A 200 with a model and some fields."""
    return Answer(body={"request_id": "r", "model": model(), **fields})


def error(status: int, code: str = "some_code", **headers: str) -> Answer:
    """An error in the service's one shape."""
    detail = {"code": code, "message": "a reason", "param": None, "request_id": "r-7"}
    return Answer(status, {"error": detail}, {name.replace("_", "-"): value for name, value in headers.items()})


class _Server(ThreadingHTTPServer):
    """Does not print what clients that leave early cause."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client left: nothing to say. Anything else is the test's own mistake, and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class ScriptedServer:
    """Answers by `script`, keeps what was asked, and counts how many requests it held at once."""

    def __init__(self) -> None:
        self.script: Script = scored
        self.asked: list[Asked] = []
        self.peak = 0
        self.connections = 0
        self._held = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def answers(self, *answers: Answer | Script) -> None:
        """Give these in turn, then score."""
        left = list(answers)

        def script(asked: Asked) -> Answer:
            with self._lock:
                answer = left.pop(0) if left else scored
            return answer if isinstance(answer, Answer) else answer(asked)

        self.script = script

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and close the connections that still stand."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with server._lock:
                    server.connections += 1

            def do_GET(self) -> None:
                self._answer({})

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _answer(self, body: Json) -> None:
                asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with server._lock:
                    server.asked.append(asked)
                    server._held += 1
                    server.peak = max(server.peak, server._held)
                try:
                    answer = server.script(asked)
                finally:
                    with server._lock:
                        server._held -= 1
                self._send(answer)

            def _send(self, answer: Answer) -> None:
                self.close_connection = not answer.status or bool(answer.cut)
                if not answer.status:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body) + answer.cut))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        return Handler


@dataclass
class FakeTime:
    """A clock that moves when somebody sleeps. Chance is the middle unless set."""

    now: float = 0.0
    epoch: float = 1_000_000_000.0
    jitter: float = 0.5
    slept: list[float] = field(default_factory=list)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def timing(self) -> Timing:
        """For a client."""
        return Timing(lambda: self.now, lambda: self.epoch + self.now, self._sleep, lambda: self.jitter)
