"""Two engine sessions of one version: one with few threads a call for load, one with all cores for a lone call."""

import threading

from service.domain import Batch, Float32
from service.engine.backend import Backend


class DualSessionBackend:
    """Runs a call on all cores when no other is running, else on the engine that shares the cores among workers.

    Under load every call but the first finds another one running, so throughput is that of the session with few
    threads; a lone request has the latency of the session with all cores.
    """

    def __init__(self, throughput: Backend, low_latency: Backend) -> None:
        self._throughput = throughput
        self._low_latency = low_latency
        self._running = 0
        self._counting = threading.Lock()

    def run(self, batch: Batch) -> Float32:
        """As `Backend.run`; may be called from several threads."""
        with self._counting:
            alone = self._running == 0
            self._running += 1
        try:
            return (self._low_latency if alone else self._throughput).run(batch)
        finally:
            with self._counting:
                self._running -= 1

    def close(self) -> None:
        """Free both. Idempotent."""
        self._throughput.close()
        self._low_latency.close()
