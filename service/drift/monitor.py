"""The task that reads every resident version's window once a period, off the event loop, and sets its gauges."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from service.drift.readings import Readings, Yardstick, read
from service.settings.groups import WatchSettings
from service.telemetry.logs import get_logger
from service.versions.live import Live
from service.versions.resident import ModelBundle


@dataclass(slots=True)
class _Watched:
    """What is known of one version's window."""

    yardstick: Yardstick
    changed: float
    noted: int = 0
    groups: int = 0
    collapsed: int = 0
    readings: Readings = field(default_factory=dict)


class Watch:
    """Owns the figures of all resident versions."""

    def __init__(self, live: Live, settings: WatchSettings, clock: Callable[[], float]) -> None:
        self._live = live
        self._settings = settings
        self._clock = clock
        self._watched: dict[str, _Watched] = {}

    async def run(self) -> None:
        """Read every window each period, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.period_s)
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the watch must outlive a figure that cannot be had
                get_logger(__name__).error("watch_failed", error=repr(error))

    async def refresh(self) -> None:
        """Read every window once; what is no longer resident is forgotten."""
        bundles = self._live.snapshot.bundles()
        self._watched = {digest: entry for digest, entry in self._watched.items() if digest in bundles}
        for digest, bundle in bundles.items():
            entry = self._watched.setdefault(digest, _Watched(Yardstick.of(bundle.manifest), self._clock()))
            await self._read(bundle, entry)

    def readings(self) -> Mapping[str, Readings]:
        """The last figures by digest, of versions that are resident; empty ones until there are enough rewards."""
        return {digest: self._of(digest) for digest in self._live.snapshot.bundles()}

    def _of(self, digest: str) -> Readings:
        entry = self._watched.get(digest)
        return entry.readings if entry else {}

    async def _read(self, bundle: ModelBundle, entry: _Watched) -> None:
        view, now = bundle.window.view(), self._clock()
        if view.noted != entry.noted:
            readings = await asyncio.to_thread(read, view, entry.yardstick, self._settings)
            entry.changed = now
        elif now - entry.changed > self._settings.stale_s:
            readings = {}  # what was true when traffic stopped is no news
        else:
            return
        bundle.metrics.watched(readings, groups=view.groups - entry.groups, collapsed=view.collapsed - entry.collapsed)
        entry.readings = readings
        entry.noted, entry.groups, entry.collapsed = view.noted, view.groups, view.collapsed
