"""One resident version: tokeniser, session and batcher as one lifetime, with a count of who uses it."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.batching.batcher import Batcher
from service.batching.policy import BatchLimits
from service.domain import Encoding, Outcome, ScoreItem
from service.repository.load import LoadedModel
from service.repository.manifest import Manifest
from service.runtime.backend import pad
from service.settings import BatchingSettings
from service.telemetry.metrics import SHORT_DIGEST, Metrics
from service.tokenise import Encoded

_WARM_UP_TOKENS = 512


class ModelBundle:
    """A version that requests can be pinned to. Closed only when the last of them is done."""

    def __init__(
        self,
        model: LoadedModel,
        settings: BatchingSettings,
        *,
        tokenise_threads: ThreadPoolExecutor,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._model = model
        self._threads = tokenise_threads
        self._clock = clock
        self.metrics = metrics.for_version(model.manifest, model.digest)
        self._batcher = Batcher(
            model,
            batch_limits(model.manifest, settings),
            lanes=settings.lanes,
            clock=clock,
            metrics=self.metrics,
        )
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def manifest(self) -> Manifest:
        return self._model.manifest

    @property
    def digest(self) -> str:
        return self._model.digest

    @property
    def name(self) -> str:
        """`model@digest`, short: how logs and replies name it."""
        return f"{self.manifest.model}@{self.digest[:SHORT_DIGEST]}"

    @property
    def temperature(self) -> float:
        """The calibration's temperature; 1 while uncalibrated."""
        return self.manifest.calibration.temperature if self.manifest.calibration else 1.0

    async def encode(self, items: Sequence[ScoreItem]) -> list[Encoded]:
        """Tokenise off the event loop."""
        started = self._clock()
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(self._threads, self._model.tokeniser.encode, items)
        self.metrics.tokenized(self._clock() - started)
        return encoded

    def submit(self, encoding: Encoding, *, deadline: float) -> asyncio.Future[Outcome]:
        """Queue one encoded item."""
        return self._batcher.submit(encoding, deadline=deadline)

    def acquire(self) -> None:
        """Count a user in."""
        self._users += 1
        self._unused.clear()

    def release(self) -> None:
        """Count a user out."""
        self._users -= 1
        if self._users == 0:
            self._unused.set()

    async def aclose(self, *, timeout_s: float) -> None:
        """Wait for the users, then close batcher, series and session. Idempotent."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._unused.wait()
        except TimeoutError:
            timeout_s = 0.0
        await self._batcher.aclose(timeout_s=timeout_s)
        self._model.backend.close()


def batch_limits(manifest: Manifest, settings: BatchingSettings) -> BatchLimits:
    """What one engine call of this version may hold.

    Dynamic int8 scales activations by tensor, so a text's reward would depend on its batch-mates: one a call.
    """
    max_items = 1 if manifest.precision == "int8" else settings.max_items
    return BatchLimits(max_items, settings.max_tokens, settings.max_padding)


def warm_up(model: LoadedModel) -> None:
    """Run the longest shape once, so that the first request does not pay for the engine's allocations. Blocking."""
    length = min(model.manifest.input_format.max_length, _WARM_UP_TOKENS)
    row = Encoding((model.manifest.golden[0].token_ids[0],) * length, length, 0)
    model.backend.run(pad([row], model.pad_id))
