"""One engine process as the service that started it sees it: commands, items, and what comes back.

A process lives once; `isolated.py` starts the next one. All methods run on the event loop.
"""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

from service.domain import Outcome
from service.engine.child_process import child_environment
from service.engine.frames import (
    FrameReader,
    Kind,
    Submission,
    pack_control,
    pack_numbers,
    pack_submissions,
    read_control,
    read_results,
)
from service.engine.running_calls import RunningCall, RunningCalls
from service.errors import BundleRejected
from service.telemetry.logs import get_logger

_REAP_PAUSE_S = 0.01
_REAP_TRIES = 500
_log = get_logger(__name__)


class EngineListener(Protocol):
    """Receives what an engine process reports, on the event loop."""

    def results(self, outcomes: Iterable[tuple[int, Outcome]]) -> None: ...
    def observed(self, events: dict[str, Any]) -> None: ...


class EngineProcess(asyncio.Protocol):
    """A child process that runs one version's engine."""

    def __init__(self, most_items: int) -> None:
        """Args: most_items: of one engine call."""
        self._most_items = most_items
        self._calls: RunningCalls | None = None
        self._listener: EngineListener | None = None
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the process has gone, or was given up."""

    async def start(self, command: Sequence[str]) -> None:
        """Start the process; its last two arguments are the descriptors of its socket and of the running calls."""
        ours, theirs = socket.socketpair()
        table = RunningCalls.create(self._most_items)
        self._calls = RunningCalls(table, self._most_items)
        try:
            # On the loop's own thread: the child dies with the thread that started it (PR_SET_PDEATHSIG).
            self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module; it returns after the exec
                [*command, str(theirs.fileno()), str(table)],
                pass_fds=[theirs.fileno(), table],
                stdin=subprocess.DEVNULL,
                env=child_environment(
                    engine=True
                ),  # and in this working directory: a store may be named relative to it
            )
        finally:
            theirs.close()
            os.close(table)
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    @property
    def running_calls(self) -> list[RunningCall]:
        """The engine calls that run now, or ran when the process ended."""
        return self._calls.read() if self._calls else []

    def listen(self, listener: EngineListener) -> None:
        """Report to this listener; before anything is submitted."""
        self._listener = listener

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid if self._process else None

    async def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; one at a time.

        Raises:
            BundleRejected: what the engine found wrong with the version, or `crash`: it ended the process.
        """
        if self.ended.done():
            raise _crash()
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answer = answered
        self._send(pack_control({"command": name, **arguments}))
        try:
            await first_of(answered, self.ended)
            if not answered.done():
                raise _crash()
            answer = answered.result()
        finally:
            self._answer = None
        if error := answer.get("error"):
            raise BundleRejected(error["message"], reason=error["reason"])
        return answer

    def submit(self, items: Iterable[Submission]) -> None:
        """Send items; each gets an outcome under its number, unless the process ends before."""
        self._send(pack_submissions(items))

    def cancel(self, numbers: Sequence[int]) -> None:
        """Tell that nobody waits for these any more."""
        self._send(pack_numbers(numbers))

    def kill(self) -> None:
        """End the process at once. Idempotent. It holds nothing that would have to be saved."""
        if self._process:
            self._process.kill()
        if self._transport:
            self._transport.abort()
        self._end()

    def _send(self, data: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(data)

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._reader.feed(data):
                self._take(kind, payload)
        except Exception as error:  # noqa: BLE001 - a process that sends nonsense is broken, whatever the nonsense
            _log.error("engine_unreadable", pid=self.pid, error=repr(error))
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        self.kill()

    def _take(self, kind: Kind, payload: memoryview) -> None:
        if kind is Kind.CONTROL:
            if self._answer and not self._answer.done():
                self._answer.set_result(read_control(payload))
        elif self._listener is None:
            raise ValueError("a report before anything was submitted")
        elif kind is Kind.RESULTS:
            self._listener.results(read_results(payload))
        elif kind is Kind.OBSERVED:
            self._listener.observed(read_control(payload))

    async def gone(self) -> int | None:
        """End the process and wait until the system has taken it down; its exit status, None if that took too long."""
        self.kill()
        for _ in range(_REAP_TRIES):
            if self._process is None or self._process.poll() is not None:
                break
            await asyncio.sleep(_REAP_PAUSE_S)
        return self._process.returncode if self._process else None


async def first_of(*futures: "asyncio.Future[Any]") -> None:
    """Wait until one of these is done."""
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _crash() -> BundleRejected:
    return BundleRejected("it ended the engine process", reason="crash")
