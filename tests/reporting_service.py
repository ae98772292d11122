"""A real HTTP server that answers every request with one body and remembers the keys it was sent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Answering:
    """What it answers, and what it was asked."""

    url: str = ""
    status: int = 200
    body: Any = None
    keys: list[str | None] = field(default_factory=list)


@contextmanager
def answering(body: Any, *, status: int = 200) -> Iterator[Answering]:
    """Serve on the loopback interface."""
    state = Answering(status=status, body=body)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.keys.append(self.headers.get("authorization"))
            self._answer()

        def do_PUT(self) -> None:
            state.keys.append(self.headers.get("authorization"))
            self.rfile.read(int(self.headers["content-length"]))
            self._answer()

        def _answer(self) -> None:
            content = json.dumps(state.body).encode()
            self.send_response(state.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
