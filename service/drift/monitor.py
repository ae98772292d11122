"""Watches the rewards of every loaded version: a window of each, read once a period, off the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry

from service.bundle.manifest import Manifest
from service.domain import Item, Outcome
from service.drift.gauges import Gauges
from service.drift.readings import Readings, Yardstick, read
from service.drift.window import Window
from service.settings.groups import WatchSettings
from service.telemetry.logs import get_logger
from service.telemetry.metrics import SHORT_DIGEST


@dataclass(slots=True, eq=False)
class Watched:
    """One version's window and its last figures; a `service.versions.resident.Observer`."""

    labels: tuple[str, str]
    window: Window
    yardstick: Yardstick
    changed: float
    """When its figures changed last."""
    close: Callable[[], None]
    """To be called when the version is retired."""
    noted: int = 0
    groups: int = 0
    collapsed: int = 0
    readings: Readings = field(default_factory=dict)

    def note(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Append a request's rewards to the window."""
        self.window.note(items, outcomes)


class Watch:
    """Owns the windows and figures of all loaded versions."""

    def __init__(self, settings: WatchSettings, clock: Callable[[], float], registry: CollectorRegistry) -> None:
        self._settings = settings
        self._clock = clock
        self._gauges = Gauges(registry)
        self._watched: dict[str, Watched] = {}

    def observe(self, manifest: Manifest, digest: str) -> Watched:
        """Begin a window for a version that was just loaded; its `close` ends it."""
        window = Window(self._settings, reference_std=manifest.reward_statistics.std)
        labels = (manifest.model, digest[:SHORT_DIGEST])
        entry = Watched(labels, window, Yardstick.of(manifest), self._clock(), partial(self._forget, digest))
        self._watched[digest] = entry
        self._gauges.add(*labels)
        return entry

    async def run(self) -> None:
        """Read every window each period, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.period_s)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the watch must outlive a figure that cannot be had
                get_logger(__name__).error("watch_failed", error=repr(error))

    async def refresh(self) -> None:
        """Read every window once."""
        for digest, entry in list(self._watched.items()):
            await self._read(digest, entry)

    def readings(self) -> Mapping[str, Readings]:
        """The last figures of each loaded version by its digest; empty ones until there are enough rewards."""
        return {digest: entry.readings for digest, entry in self._watched.items()}

    def _forget(self, digest: str) -> None:
        if entry := self._watched.pop(digest, None):
            self._gauges.remove(*entry.labels)

    async def _read(self, digest: str, entry: Watched) -> None:
        view, now = entry.window.view(), self._clock()
        if view.noted != entry.noted:
            readings = await asyncio.to_thread(read, view, entry.yardstick, self._settings)
            entry.changed = now
        elif now - entry.changed > self._settings.stale_s:
            readings = {}  # what was true when traffic stopped is no news
        else:
            return
        if self._watched.get(digest) is not entry:
            return  # retired while its window was read: its series are gone and must not come back
        groups, collapsed = view.groups - entry.groups, view.collapsed - entry.collapsed
        self._gauges.set(*entry.labels, readings, groups=groups, collapsed=collapsed)
        entry.readings = readings
        entry.noted, entry.groups, entry.collapsed = view.noted, view.groups, view.collapsed
