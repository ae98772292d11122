"""The experiments in force: those of the YAML file, read again when it changes, and those of the database."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from plurality.core.errors import ConfigurationError
from service.experiments.arm_health import ArmHealth
from service.experiments.assign import Allocation, allocate
from service.experiments.definition import Experiment, read_file
from service.telemetry.experiments import ExperimentMetrics
from service.telemetry.logs import get_logger

Origin = Literal["file", "database"]
MAX_VERSIONS = 4
"""Of an arm whose health is kept: answers of the version before the last move still come in."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A definition of the database; every write gives it a new revision."""

    experiment: Experiment
    revision: int


class DefinitionStore(Protocol):
    """Where definitions are kept that came over the API. Synchronous: called in threads."""

    def load(self) -> Sequence[Stored]: ...

    def put(self, experiment: Experiment) -> None: ...

    def delete(self, name: str) -> bool: ...


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A definition, what follows from it, and how its arms do."""

    experiment: Experiment
    origin: Origin
    revision: int
    allocation: Allocation
    problem: str | None = None
    """Why it does not run though it should."""
    _healths: dict[tuple[str, str], ArmHealth] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        return self.experiment.running and self.problem is None

    def health(self, arm: str, digest: str) -> ArmHealth:
        """How this version has served as this arm, to be written to; a version that comes new starts afresh."""
        found = self._healths.get((arm, digest))
        if found is None:
            versions = [key for key in self._healths if key[0] == arm]
            for key in versions[: max(0, len(versions) + 1 - MAX_VERSIONS)]:
                del self._healths[key]
            found = self._healths[arm, digest] = ArmHealth()
        return found

    def seen(self, arm: str, digest: str | None) -> ArmHealth:
        """Return the counters read-only; empty ones where the version has served no request."""
        return self._healths.get((arm, digest or "")) or ArmHealth()


class Registry:
    """Reads definitions; keeps the last valid ones when a later read fails."""

    def __init__(
        self,
        file: Path | None,
        store: DefinitionStore | None,
        metrics: ExperimentMetrics,
        *,
        poll_interval_s: float,
    ) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._from_file: tuple[Experiment, ...] = ()
        self._from_store: tuple[Stored, ...] = ()
        self.store = store
        self._metrics = metrics
        self._poll_interval_s = poll_interval_s
        self._log = get_logger(__name__)
        self.entries: Mapping[str, Entry] = {}
        """By name."""
        self.running: Mapping[str, Entry] = {}
        """By model: one at a time. Empty while no experiment runs: then requests need not come to the router."""

    @property
    def configured(self) -> bool:
        """Whether there can ever be an experiment."""
        return self._file is not None or self.store is not None

    async def open(self) -> None:
        """First reading.

        Raises:
            ConfigurationError: the file is wrong. An unreachable database is only logged: the service serves.
        """
        if self._file is not None:
            self._stamp, self._from_file = _stamp(self._file), await asyncio.to_thread(read_file, self._file)
            self._metrics.definitions_up.labels("file").set(1)
        await self._read_store()
        self._reconcile()

    async def refresh(self) -> None:
        """Look again at file and database."""
        await self._read_again()
        await self._read_store()
        self._reconcile()

    async def watch(self) -> None:
        """Look again and again, until cancelled.

        A file that has just changed is left alone until the next look finds it as it was: somebody may be writing it,
        and a file that is cut off, or empty for a moment, can be a valid one with fewer experiments.
        """
        seen = self._stamp
        while True:
            await asyncio.sleep(self._poll_interval_s)
            before, seen = seen, _stamp(self._file) if self._file else None
            if seen != before:
                continue
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - what is in force stays in force
                self._log.error("experiments_watch_failed", error=type(error).__name__)

    def conflict(self, experiment: Experiment) -> str | None:
        """Explain why a definition sent over the API conflicts with those in force."""
        known = self.entries.get(experiment.name)
        if known is not None and known.origin == "file":
            return "an experiment of this name is defined in the file: change it there"
        other = self.running.get(experiment.model)
        if experiment.running and other is not None and other.experiment.name != experiment.name:
            return f"experiment {other.experiment.name} runs on this model: stop it first"
        return None

    async def _read_again(self) -> None:
        if self._file is None or (stamp := _stamp(self._file)) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._from_file = await asyncio.to_thread(read_file, self._file)
            self._metrics.definitions_up.labels("file").set(1)
        except ConfigurationError as error:
            self._metrics.definitions_up.labels("file").set(0)
            self._log.error("experiments_rejected", message=error.message, consequence="the former ones go on")

    async def _read_store(self) -> None:
        if self.store is None:
            return
        try:
            self._from_store = tuple(await asyncio.to_thread(self.store.load))
            self._metrics.definitions_up.labels("database").set(1)
        except Exception as error:  # noqa: BLE001 - the database is somebody else's process
            self._metrics.definitions_up.labels("database").set(0)
            self._log.error("experiments_unreadable", error=type(error).__name__)

    def _reconcile(self) -> None:
        """Put both origins together. The file comes first; a definition that cannot run beside it says why."""
        entries: dict[str, Entry] = {}
        by_model: dict[str, Entry] = {}
        for experiment, origin, revision in self._all():
            problem = None
            if experiment.name in entries:
                continue  # the API refuses such a name; the file took it later
            if experiment.running and (other := by_model.get(experiment.model)):
                problem = f"experiment {other.experiment.name} runs on this model"
            entry = entries[experiment.name] = self._entry(experiment, origin, revision, problem)
            if entry.runs:
                by_model[experiment.model] = entry
        self._announce(entries)
        self.entries, self.running = entries, by_model

    def _all(self) -> Iterable[tuple[Experiment, Origin, int]]:
        for experiment in self._from_file:
            yield experiment, "file", 0
        for stored in self._from_store:
            yield stored.experiment, "database", stored.revision

    def _entry(self, experiment: Experiment, origin: Origin, revision: int, problem: str | None) -> Entry:
        """The same entry while nothing changed: a breaker that is open stays open."""
        known = self.entries.get(experiment.name)
        if known and (known.experiment, known.origin, known.revision, known.problem) == (
            experiment, origin, revision, problem,
        ):  # fmt: skip
            return known
        weights = {arm.name: arm.weight for arm in experiment.arms}
        return Entry(experiment, origin, revision, allocate(weights), problem)

    def _announce(self, entries: Mapping[str, Entry]) -> None:
        for name, entry in entries.items():
            if self.entries.get(name) is not entry:
                self._log.info("experiment_defined", experiment=name, origin=entry.origin, runs=entry.runs)
                for arm in entry.experiment.arms:
                    self._metrics.disabled.labels(name, arm.name).set(0)
        for name in self.entries.keys() - entries.keys():
            self._log.info("experiment_gone", experiment=name)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does, however it was replaced."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
