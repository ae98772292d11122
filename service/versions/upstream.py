"""A version that another server computes: queued and batched here, watched for other weights."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from service.bundle.manifest import Manifest
from service.bundle.tokenize import ItemTokenizer
from service.domain import Encoding, Outcome
from service.engine.backend import score
from service.engine.batcher import Batcher, BatchObserver, Engine
from service.engine.policy import Cell
from service.engine.profile import Profile
from service.engine.upstream import UpstreamBackend
from service.errors import Unavailable, UpstreamChanged, UpstreamUnavailable
from service.settings import Settings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST
from service.versions.daemon_thread import run_in_daemon_thread
from service.versions.isolate import OpenedVersion
from service.versions.tuned import batch_policy

_CALL_S = 0.02
"""Of a call, whatever is in it, before any was measured: the scheduler learns how much slower or faster calls are."""
_log = get_logger(__name__)


class UpstreamEngine:
    """A `Batcher` before the server, out of service while the server is away or has other weights."""

    def __init__(
        self, batcher: Batcher, backend: UpstreamBackend, *, check_s: float, problem: Unavailable | None, name: str
    ) -> None:
        """Args: problem: why it cannot score yet."""
        self._batcher = batcher
        self._backend = backend
        self._check_s = check_s
        self._problem = problem
        self._name = name
        self._watching = asyncio.create_task(self._watch(), name="upstream-watch")
        self.wait_s = batcher.wait_s

    @property
    def up(self) -> bool:
        """Whether the server answered, with the known rewards, when it was last looked at."""
        return self._problem is None

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one item; the future always gets an outcome, and may be cancelled at any time."""
        if self._problem is None:
            return self._batcher.submit(encoding, deadline=deadline)
        refused: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        refused.set_result(self._problem)
        return refused

    async def aclose(self, *, timeout_s: float) -> None:
        """As `Batcher.aclose`."""
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._batcher.aclose(timeout_s=timeout_s)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            try:
                await run_in_daemon_thread(self._backend.check, name="upstream")
            except (UpstreamChanged, UpstreamUnavailable) as error:
                if type(error) is not type(self._problem):
                    _log.error("upstream_out_of_service", version=self._name, message=error.message)
                self._problem = error
            except Exception as error:  # noqa: BLE001 - watching goes on, whatever a server answers
                _log.error("upstream_check_failed", version=self._name, error=repr(error))
            else:
                if self._problem is not None:
                    _log.info("upstream_back", version=self._name)
                self._problem = None


@dataclass(frozen=True, slots=True)
class UpstreamVersion:
    """A version and the server that computes it, which was just looked at."""

    digest: str
    manifest: Manifest
    tokenizer: ItemTokenizer
    backend: UpstreamBackend
    problem: Unavailable | None
    """Why it cannot score yet."""


def opened_upstream(version: UpstreamVersion, settings: Settings, clock: Callable[[], float]) -> OpenedVersion:
    """A version before its server, ready to be started."""
    manifest, backend = version.manifest, version.backend
    longest = manifest.input_format.max_length
    cells = tuple(Cell(items, tokens, _CALL_S) for items in (1, settings.batching.max_items) for tokens in (1, longest))
    profile = Profile(settings.upstream.calls, 1, cells)
    name = f"{manifest.model}@{version.digest[:SHORT_DIGEST]}"

    def start(metrics: BatchObserver) -> Engine:
        batcher = Batcher(
            partial(score, backend, pad_id=manifest.input_format.pad_id, center=manifest.center),
            batch_policy(manifest, profile, settings),
            workers=profile.workers,
            dedupe=settings.batching.dedupe,
            clock=clock,
            metrics=metrics,
        )
        return UpstreamEngine(batcher, backend, check_s=settings.upstream.check_s, problem=version.problem, name=name)

    return OpenedVersion(version.digest, manifest, version.tokenizer, profile, start, backend.close)
