"""Computes the drift metrics of every loaded version once a period, off the event loop."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry

from service.bundle.manifest import Manifest
from service.drift.drift_metrics import DriftMetrics, ReferenceStats, read
from service.drift.gauges import Gauges
from service.drift.window import Window
from service.settings.groups import WatchSettings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST


@dataclass(slots=True, eq=False)
class Watched:
    """One version's window and its last metrics."""

    labels: tuple[str, str]
    window: Window
    reference_stats: ReferenceStats
    changed: float
    """When its metrics changed last."""
    noted: int = 0
    groups: int = 0
    collapsed: int = 0
    readings: DriftMetrics = field(default_factory=dict)


class Watch:
    """Owns the windows and drift metrics of all loaded versions."""

    def __init__(self, settings: WatchSettings, clock: Callable[[], float], registry: CollectorRegistry) -> None:
        self._settings = settings
        self._clock = clock
        self._gauges = Gauges(registry)
        self._watched: dict[str, Watched] = {}

    def observe(self, manifest: Manifest, digest: str) -> Window:
        """Begin a window for a version that was just loaded; its `close` ends it."""
        forget = partial(self._forget, digest)
        window = Window(self._settings, reference_std=manifest.reward_statistics.std, close=forget)
        labels = (manifest.model, digest[:SHORT_DIGEST])
        self._watched[digest] = Watched(labels, window, ReferenceStats.of(manifest), self._clock())
        self._gauges.add(*labels)
        return window

    async def run(self) -> None:
        """Read every window each period, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.period_s)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - monitoring outlives a metric that cannot be computed
                get_logger(__name__).error("watch_failed", error=repr(error))

    async def refresh(self) -> None:
        """Read every window once."""
        for digest, entry in list(self._watched.items()):
            await self._read(digest, entry)

    def readings(self) -> Mapping[str, DriftMetrics]:
        """The last metrics of each loaded version by digest; empty until there are enough rewards."""
        return {digest: entry.readings for digest, entry in self._watched.items()}

    def _forget(self, digest: str) -> None:
        if entry := self._watched.pop(digest, None):
            self._gauges.remove(*entry.labels)

    async def _read(self, digest: str, entry: Watched) -> None:
        window, now = entry.window.snapshot(), self._clock()
        if window.noted != entry.noted:
            readings = await asyncio.to_thread(read, window, entry.reference_stats, self._settings)
            entry.changed = now
        elif now - entry.changed > self._settings.stale_s:
            readings = {}  # metrics of the time when traffic stopped are out of date
        else:
            return
        if self._watched.get(digest) is not entry:
            return  # retired while its window was read: its series are gone and must not come back
        groups, collapsed = window.groups - entry.groups, window.collapsed - entry.collapsed
        self._gauges.set(*entry.labels, readings, groups=groups, collapsed=collapsed)
        entry.readings = readings
        entry.noted, entry.groups, entry.collapsed = window.noted, window.groups, window.collapsed
