"""Prometheus metrics of the sidecar: phase, progress, last outcome. They have their own registry and port."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

PHASES = ("idle", "collect", "train", "export", "evaluate", "publish", "verdict")
OUTCOMES = ("published", "refused", "failed", "promoted", "rolled_back")


class Telemetry:
    """Metrics `rm_trainer_*`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._phase = Gauge("rm_trainer_phase", "1 for the phase that runs now.", ["phase"], registry=self.registry)
        self._since = Gauge("rm_trainer_phase_started_timestamp_seconds", "When it began.", registry=self.registry)
        self._cycles = Counter("rm_trainer_cycles", "Ended cycles.", ["outcome"], registry=self.registry)
        self._last = Gauge(
            "rm_trainer_last_outcome", "1 for how the last one ended.", ["outcome"], registry=self.registry
        )
        self._ended = Gauge("rm_trainer_last_end_timestamp_seconds", "When it ended.", registry=self.registry)
        self.new_votes = Gauge("rm_trainer_new_votes", "Votes since the last cycle.", registry=self.registry)
        for outcome in OUTCOMES:
            self._cycles.labels(outcome)
            self._last.labels(outcome).set(0)
        self._enter("idle")

    def serve(self, port: int) -> None:
        """Answer scrapes on the loopback interface."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Set `rm_trainer_phase` to this phase while the block runs."""
        self._enter(name)
        try:
            yield
        finally:
            self._enter("idle")

    def ended(self, outcome: str) -> None:
        """Count the outcome of a cycle."""
        self._cycles.labels(outcome).inc()
        for name in OUTCOMES:
            self._last.labels(name).set(name == outcome)
        self._ended.set(time.time())

    def _enter(self, phase: str) -> None:
        for name in PHASES:
            self._phase.labels(name).set(name == phase)
        self._since.set(time.time())
