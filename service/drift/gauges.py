"""Exports the drift metrics of each version as Prometheus gauges, and counts its groups."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.drift.drift_metrics import DRIFT_METRICS

_LABELS = ("model", "version")


class Gauges:
    """The gauges of one process; a version has a series while it is loaded and the metric has a value."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._figures = {
            name: Gauge(f"rm_{name}", text, _LABELS, registry=registry) for name, text in DRIFT_METRICS.items()
        }
        self._groups = Counter(
            "rm_groups", "Prompts with two or more responses in a request.", _LABELS, registry=registry
        )
        self._collapsed = Counter("rm_group_collapsed", "Groups with next to no spread.", _LABELS, registry=registry)

    def add(self, model: str, version: str) -> None:
        """Start a version's counters at zero."""
        self._groups.labels(model, version)
        self._collapsed.labels(model, version)

    def set(self, model: str, version: str, readings: Mapping[str, float], *, groups: int, collapsed: int) -> None:
        """Set the gauges that have a value, remove the others, and count the new groups."""
        for name, gauge in self._figures.items():
            if name in readings:
                gauge.labels(model, version).set(readings[name])
            else:
                gauge.remove(model, version)
        self._groups.labels(model, version).inc(groups)
        self._collapsed.labels(model, version).inc(collapsed)

    def remove(self, model: str, version: str) -> None:
        """Remove every series of a version."""
        for metric in (self._groups, self._collapsed, *self._figures.values()):
            metric.remove(model, version)
