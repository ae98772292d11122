"""Two engines of one version: narrow ones side by side under load, a wide one while a call is alone."""

import threading

from service.domain import Batch, Float32
from service.engine.backend import Backend


class TwoWidths:
    """Runs a call on all cores when no other is running, else on the engine that shares the cores among lanes.

    Under load every call but the first finds another one running: throughput is the narrow engine's. A lone request
    has the latency of the wide one.
    """

    def __init__(self, narrow: Backend, wide: Backend) -> None:
        self._narrow = narrow
        self._wide = wide
        self._running = 0
        self._counting = threading.Lock()

    def run(self, batch: Batch) -> Float32:
        """As `Backend.run`; may be called from several threads."""
        with self._counting:
            alone = self._running == 0
            self._running += 1
        try:
            return (self._wide if alone else self._narrow).run(batch)
        finally:
            with self._counting:
                self._running -= 1

    def close(self) -> None:
        """Free both. Idempotent."""
        self._narrow.close()
        self._wide.close()
