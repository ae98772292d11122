"""The process: two listeners, signals, and an order to stop in that loses no accepted request.

SIGTERM: not ready, replies close their connections -> keep serving for drain_delay_s -> close the listener ->
finish what runs, at most graceful_timeout_s -> answer the rest 503 -> free the engines -> exit 0.
A second signal skips the waiting.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn
import uvloop
from starlette.types import ASGIApp

from plurality.core.errors import ConfigurationError
from service.api.probes import create_ops_app
from service.app import Service, build_service, create_app, running
from service.settings import Settings
from service.settings.groups import HttpSettings
from service.telemetry.logs import configure_logs, get_logger

_LAST_REPLIES_S = 5
_KEEP_ALIVE_S = 75
"""Longer than the 60 s of usual load balancers: the server must not be the one that closes an idle connection."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the order of stopping is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class _Listener:
    server: _Server
    task: asyncio.Task[None]
    url: str

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task


def run_server(settings: Settings) -> None:
    """Serve until a signal. Blocking.

    Raises:
        ConfigurationError: before anything listens.
    """
    configure_logs(settings.log_level)
    if settings.remote is None and not settings.store.is_dir():
        raise ConfigurationError(
            f"the store {settings.store} is not a directory; `plurality demo` or `plurality export` makes one",
            param="store",
        )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Listen for probes, load, listen for requests, stop in order."""
    http, log = settings.http, get_logger(__name__)
    signals = _catch_signals()
    service = build_service(settings)
    api_socket, ops_socket = _bind(http.host, http.port), _bind(http.host, http.ops_port)
    ops = await _listen(create_ops_app(service.live, service.gate, service.metrics), ops_socket, http)
    try:
        async with running(service):
            api = await _listen(create_app(service), api_socket, http)
            log.info("listening", api=api.url, ops=ops.url, ready=service.live.ready)
            await signals.get()
            await _drain(service, api, signals)
    finally:
        await ops.stop()
    log.info("stopped")


async def _drain(service: Service, api: _Listener, signals: asyncio.Queue[int]) -> None:
    http, log = service.settings.http, get_logger(__name__)
    log.info("draining", delay_s=http.drain_delay_s, graceful_timeout_s=http.graceful_timeout_s)
    service.gate.leaving = True
    hurry = asyncio.create_task(signals.get())
    await asyncio.wait({hurry}, timeout=http.drain_delay_s)
    api.server.should_exit = True
    await asyncio.wait({hurry, api.task}, timeout=http.graceful_timeout_s, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not api.task.done():
        log.warning("graceful_timeout", in_flight_items=service.gate.items)
        service.gate.close()
        # Whatever still waits is answered 503 by its batcher; uvicorn then has its last seconds to send that.
        await service.live.aclose(timeout_s=0.0)
        await api.task


def _catch_signals() -> asyncio.Queue[int]:
    """SIGTERM and SIGINT arrive in a queue, one entry a signal."""
    arrived: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, arrived.put_nowait, number)
    return arrived


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}", param="port") from None


async def _listen(app: ASGIApp, listener: socket.socket, http: HttpSettings) -> _Listener:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing here asks for the client's address
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(http.graceful_timeout_s) + _LAST_REPLIES_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.005)
    host, port = listener.getsockname()[:2]
    return _Listener(server, task, f"http://{host}:{port}")
