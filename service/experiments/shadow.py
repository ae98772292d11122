"""Shadow arms: they score what others have answered, where there is room, and nobody waits for them.

A bounded queue and one task. Whatever is in the way of a shadow drops it, counted by cause: a full queue, a full
service, a version that is not resident, an engine that fails.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from plurality.core.errors import PluralityError
from service.admission import Gate
from service.domain import Item, Outcome, Reward, ScoreQuery
from service.errors import DeadlineExceeded, Unavailable, UnknownModel
from service.experiments.arm_health import attributable_errors
from service.experiments.assign import neighbors
from service.experiments.definition import Arm, Experiment
from service.experiments.registry import Entry
from service.scoring import Scored, Scorer
from service.telemetry.experiments import ExperimentMetrics
from service.telemetry.logs import get_logger
from service.versions.live import Live

CHUNK_ITEMS = 8
"""Items that a shadow takes at once: a primary that comes meanwhile shares the cores with so few."""
MAX_CHARACTERS = 8 * 2**20
"""Of all texts that wait together."""
WINDOW_PAIRS = 1000
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Job:
    entry: Entry
    arm: Arm
    items: Sequence[Item]
    cut: bool
    primary: Scored
    characters: int

    @property
    def experiment(self) -> Experiment:
        return self.entry.experiment


@dataclass(slots=True)
class _Window:
    """The last pairs that an arm's version was compared on."""

    digest: str
    flips: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW_PAIRS))
    shifts: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW_PAIRS))


class Shadows:
    """The queue of all shadow arms and its worker."""

    def __init__(
        self,
        live: Live,
        scorer: Scorer,
        gate: Gate,
        metrics: ExperimentMetrics,
        *,
        max_items: int,
        max_load: float,
        clock: Callable[[], float],
    ) -> None:
        self._live = live
        self._scorer = scorer
        self._gate = gate
        self._metrics = metrics
        self._max_items = max_items
        self._max_load = max_load
        self._clock = clock
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue()
        self._items = 0
        self._characters = 0
        self._windows: dict[tuple[str, str], _Window] = {}
        self._log = get_logger(__name__)

    def offer(self, entry: Entry, query: ScoreQuery, primary: Scored) -> None:
        """Queue an answered request for each shadow arm, or drop it. Never waits, never raises."""
        experiment = entry.experiment
        for arm in experiment.shadows:
            characters = sum(item.characters for item in query.items)
            items = len(query.items)
            if self._items + items > self._max_items or self._characters + characters > MAX_CHARACTERS:
                self._drop(experiment, "full", items)
                continue
            self._items += items
            self._characters += characters
            self._jobs.put_nowait(_Job(entry, arm, query.items, query.truncate, primary, characters))

    async def run(self) -> None:
        """Work until cancelled; nothing that a shadow does ends it."""
        while True:
            job = await self._jobs.get()
            try:
                await self._shadow(job)
            except Exception as error:  # noqa: BLE001 - the boundary of a shadow: it fails alone
                self._drop(job.experiment, "failed", len(job.items))
                self._log.error("shadow_failed", experiment=job.experiment.name, error=type(error).__name__)
            finally:
                self._items -= len(job.items)
                self._characters -= job.characters
                self._jobs.task_done()

    async def _shadow(self, job: _Job) -> None:
        if self._same_version(job):
            self._drop(job.experiment, "same_version", len(job.items))
            return
        outcomes: list[Outcome] = []
        digests: set[str] = set()
        for start in range(0, len(job.items), CHUNK_ITEMS):
            try:
                scored = await self._chunk(job, start)
            except PluralityError as error:
                self._drop(job.experiment, _reason(error), len(job.items) - start)
                return
            outcomes += scored.outcomes
            digests.add(scored.digest)
        if len(digests) != 1 or job.primary.digest in digests:
            self._drop(job.experiment, "moved", len(job.items))
            return
        errors = sum(not isinstance(outcome, Reward) for outcome in outcomes)
        if errors:
            self._drop(job.experiment, "item_error", errors)
        self._compare(job, outcomes, scored)

    def _same_version(self, job: _Job) -> bool:
        """A candidate that is not there yet is often the very version that answered."""
        try:
            with self._live.pin(job.experiment.selector(job.arm)) as bundle:
                return bundle.digest == job.primary.digest
        except PluralityError:
            return False

    async def _chunk(self, job: _Job, start: int) -> Scored:
        chunk = slice(start, start + CHUNK_ITEMS)
        items, primary = job.items[chunk], job.primary.outcomes[chunk]
        await self._gate.below(self._max_load)
        selector = job.experiment.selector(job.arm)
        scored = await self._scorer.score(
            ScoreQuery(items, selector, self._clock() + _PATIENCE_S, truncate=job.cut, traffic=False)
        )
        # Not how long it took: a shadow waits for room and comes in chunks, which compares with no answer's time.
        job.entry.health(job.arm.name, scored.digest).counters.add(attributable_errors(scored.outcomes, primary))
        return scored

    def _compare(self, job: _Job, outcomes: Sequence[Outcome], shadow: Scored) -> None:
        """Pairs of one prompt, as both versions order them."""
        labels = (job.experiment.name, job.arm.name)
        window = self._windows.get(labels)
        if window is None or window.digest != shadow.digest:
            window = self._windows[labels] = _Window(shadow.digest)
        units = (job.primary.calibrator.temperature, shadow.calibrator.temperature)
        for a, b in neighbors(job.items):
            margins = _margin(job.primary.outcomes, a, b), _margin(outcomes, a, b)
            if margins[0] is None or margins[1] is None:
                continue
            flipped = margins[0] * margins[1] < 0
            window.flips.append(flipped)
            window.shifts.append(abs(margins[1]) / units[1] - abs(margins[0]) / units[0])
            self._metrics.compared.labels(*labels).inc()
            self._metrics.disagreement.labels(*labels).inc(flipped)
        if window.flips:
            self._metrics.flip_ratio.labels(*labels).set(sum(window.flips) / len(window.flips))
            self._metrics.reward_diff_shift.labels(*labels).set(sum(window.shifts) / len(window.shifts))

    def _drop(self, experiment: Experiment, reason: str, items: int) -> None:
        self._metrics.dropped.labels(experiment.name, reason).inc(items)


def _margin(outcomes: Sequence[Outcome], a: int, b: int) -> float | None:
    first, second = outcomes[a], outcomes[b]
    return first.value - second.value if isinstance(first, Reward) and isinstance(second, Reward) else None


def _reason(error: PluralityError) -> str:
    match error:
        case UnknownModel():
            return "not_resident"
        case Unavailable():
            return "busy"
        case DeadlineExceeded():
            return "late"
        case _:
            return "failed"
