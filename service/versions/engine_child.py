"""Runs one version's engine in a process of its own: started by `isolate.py`, never imported.

Answers commands in order (open, warm_up, self_test, serve), then scores what it is sent until its parent closes the
socket. It reads the version from the store itself and checks every digest, as the service does.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvloop

from plurality.core.errors import PluralityError
from service.bundle.store import read_verified
from service.domain import Outcome, Reward
from service.engine.batcher import Batcher
from service.engine.child_process import bind_to
from service.engine.frames import (
    FrameReader,
    Kind,
    Submission,
    pack_control,
    pack_results,
    read_control,
    read_numbers,
    read_submissions,
)
from service.engine.running_calls import RunningCalls
from service.engine.suspects import SuspectsAlone
from service.errors import BundleRejected
from service.settings import Settings
from service.telemetry.logs import configure_logs
from service.versions.daemon_thread import run_in_daemon_thread
from service.versions.self_test import self_test, warm_up
from service.versions.tuned import ProfileRecord, TunedModel, batch_policy, largest_batch, load_tuned

_REPORT_S = 0.05
"""Between two reports of what the batcher does: metrics may be that late, and cost the less."""


class Reports:
    """Sends outcomes to the parent once for each turn of the event loop, and what the batcher does a little later."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._results: list[tuple[int, Outcome]] = []
        self._events: dict[str, Any] = {}

    def finished(self, number: int, future: asyncio.Future[Outcome]) -> None:
        """Send an item's outcome, if it is still wanted."""
        if future.cancelled():
            return
        if not self._results:
            self._loop.call_soon(self._send_results)
        self._results.append((number, future.result()))

    def queue(self, items: int) -> None:
        self._pending()["queue"] = items

    def taken(self, waits_s: Sequence[float]) -> None:
        self._pending()["waits"] += waits_s

    def dropped(self, *, expired: int, abandoned: int) -> None:
        events = self._pending()
        events["expired"] += expired
        events["abandoned"] += abandoned

    def deduplicated(self) -> None:
        self._pending()["deduplicated"] += 1

    def ran(self, seconds: float, lengths: Sequence[int], *, slowdown_factor: float) -> None:
        self._pending()["ran"].append((seconds, lengths, slowdown_factor))

    def scored(self, reward: Reward) -> None:
        self._pending()["scored"].append((reward.value, reward.tokens, reward.cut_tokens))

    def nonfinite(self) -> None:
        self._pending()["nonfinite"] += 1

    def worker_restarted(self) -> None:
        self._pending()["restarts"] += 1

    def _pending(self) -> dict[str, Any]:
        if not self._events:
            self._events = {
                "ran": [], "waits": [], "scored": [], "queue": None,
                "expired": 0, "abandoned": 0, "deduplicated": 0, "nonfinite": 0, "restarts": 0,
            }  # fmt: skip
            self._loop.call_later(_REPORT_S, self._send_events)
        return self._events

    def _send_results(self) -> None:
        results, self._results = self._results, []
        self._write(pack_results(results))

    def _send_events(self) -> None:
        events, self._events = self._events, {}
        self._write(pack_control(events, Kind.OBSERVED))


class EngineServer(asyncio.Protocol):
    """The engine's end of the socket."""

    def __init__(self, descriptor: int) -> None:
        """Args: descriptor: of the table of running calls."""
        self._descriptor = descriptor
        self._reader = FrameReader()
        self._tuned: TunedModel | None = None
        self._settings: Settings | None = None
        self._batcher: Batcher | None = None
        self._reports: Reports | None = None
        self._futures: dict[int, asyncio.Future[Outcome]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        os._exit(0)

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._reader.feed(data):
            if kind is Kind.SUBMIT:
                for item in read_submissions(payload):
                    self._submit(item)
            elif kind is Kind.CANCEL:
                for number in read_numbers(payload):
                    if future := self._futures.get(number):
                        future.cancel()
            elif kind is Kind.CONTROL:
                task = asyncio.get_running_loop().create_task(self._answer(read_control(payload)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _submit(self, item: Submission) -> None:
        assert self._batcher is not None  # noqa: S101 - the parent sends items after `serve`
        self._futures[item.number] = future = self._batcher.submit(item.encoding, deadline=item.deadline)
        future.add_done_callback(partial(self._finished, item.number))

    def _finished(self, number: int, future: asyncio.Future[Outcome]) -> None:
        del self._futures[number]
        if self._reports:
            self._reports.finished(number, future)

    async def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer = await self._run(message)
        except PluralityError as error:
            answer = {"error": {"message": error.message, "reason": getattr(error, "reason", "device")}}
        except Exception as error:  # noqa: BLE001 - the boundary: the parent refuses the version with this reason
            answer = {"error": {"message": f"the engine failed: {type(error).__name__}", "reason": "internal"}}
        self._transport.write(pack_control(answer))

    async def _run(self, message: dict[str, Any]) -> dict[str, Any]:
        name = message["command"]
        if name == "open":
            return await self._open(message)
        if self._tuned is None:
            raise BundleRejected("no version is open", reason="internal")
        if name == "warm_up":
            await run_in_daemon_thread(partial(warm_up, self._tuned.model), name="warm-up")
        elif name == "self_test":
            await run_in_daemon_thread(partial(self_test, self._tuned.model), name="self-test")
        elif name == "serve":
            self._serve(self._tuned, message["suspects"])
        return {}

    async def _open(self, message: dict[str, Any]) -> dict[str, Any]:
        self._settings = settings = Settings.model_validate_json(message["settings"])
        record = message["profile"]
        profile = ProfileRecord.model_validate_json(record).profile() if record else None

        def opened() -> TunedModel:
            return load_tuned(read_verified(Path(message["directory"])), settings, same_shape_profile=profile)

        self._tuned = await run_in_daemon_thread(opened, name="open")
        return {"profile": ProfileRecord.of(self._tuned.profile).model_dump_json()}

    def _serve(self, tuned: TunedModel, suspects: Iterable[str]) -> None:
        assert self._settings is not None  # noqa: S101 - it was opened
        self._reports = reports = Reports(self._transport.write)
        manifest = tuned.model.manifest
        policy = batch_policy(manifest, tuned.profile, self._settings)
        calls = RunningCalls(self._descriptor, largest_batch(manifest, self._settings))
        self._batcher = Batcher(
            SuspectsAlone(tuned.model.score, policy.cost, calls, map(bytes.fromhex, suspects)),
            policy,
            workers=tuned.profile.workers,
            dedupe=self._settings.batching.dedupe,
            clock=asyncio.get_running_loop().time,
            metrics=reports,
        )


async def _main(descriptor: int, table: int) -> None:
    end = socket.socket(fileno=descriptor)
    await asyncio.get_running_loop().create_connection(lambda: EngineServer(table), sock=end)
    await asyncio.get_running_loop().create_future()  # until the parent closes its end


if __name__ == "__main__":
    bind_to(int(sys.argv[1]))
    # A terminal or an init system signals all processes of a group: the parent drains, and then ends this one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    configure_logs("warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(int(sys.argv[2]), int(sys.argv[3])))
