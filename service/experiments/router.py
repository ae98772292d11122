"""Who answers a request for an experiment's model: its arm, or the control wherever the arm cannot. Knows no HTTP."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain import Outcome, ScoreQuery
from service.errors import EngineError, MalformedRequest, Overloaded, UnknownModel
from service.experiments.assign import arm_of, bucket, named_unit, unit_of
from service.experiments.definition import Arm
from service.experiments.registry import Entry, Registry
from service.experiments.shadow import Shadows
from service.repository.live import Live
from service.scoring import Scored, Scorer
from service.telemetry.experiments import ExperimentMetrics
from service.telemetry.logs import get_logger

UNIT_HEADER = "x-experiment-unit"
ARM_HEADER = "x-experiment-arm"
MAX_UNIT = 256


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of experiments."""

    unit: str | None = None
    """What is to stay in one arm: a user, a session, a training run. None: the prompt."""
    arm: str | None = None
    """Served by this arm, whatever the unit."""


@dataclass(frozen=True, slots=True)
class Served:
    """The answer and who gave it."""

    scored: Scored
    labels: Mapping[str, str] = field(default_factory=dict)
    """`experiment` and `arm`; empty where the request took no part."""


class Router:
    """Sends requests to arms."""

    def __init__(
        self,
        registry: Registry,
        scorer: Scorer,
        live: Live,
        shadows: Shadows,
        metrics: ExperimentMetrics,
        *,
        key: bytes,
        default_model: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.registry = registry
        self._scorer = scorer
        self._live = live
        self._shadows = shadows
        self._metrics = metrics
        self._key = key
        self._default_model = default_model
        self._clock = clock
        self._log = get_logger(__name__)

    @property
    def active(self) -> bool:
        """Whether any experiment runs; if not, requests need not come here."""
        return bool(self.registry.running)

    async def score(self, query: ScoreQuery, asked: Asked) -> Served:
        """Score by one version: the request's arm, the control, or what the request names.

        Raises:
            MalformedRequest: the unit or the arm that the request names cannot be.
            PluralityError: as `Scorer.score`.
        """
        entry = self._entry(query.model)
        if entry is None:
            if asked.arm is not None:
                raise MalformedRequest(
                    f"no experiment runs on what this request's `model` names: leave {ARM_HEADER} out", param=ARM_HEADER
                )
            return Served(await self._scorer.score(query))
        arm, takes_part = self._choose(entry, query, asked)
        served = await self._serve(entry, arm, query)
        self._shadows.offer(entry, query, served.scored)
        return served if takes_part else Served(served.scored)

    def _entry(self, selector: str | None) -> Entry | None:
        """The experiment that a selector takes part in; one that names a version takes part in none."""
        running = self.registry.running
        if selector is not None:
            return running.get(selector)  # names of models hold no @
        if self._default_model:
            return running.get(self._default_model)
        names = self._live.snapshot.aliases.keys()
        return running.get(next(iter(names))) if len(names) == 1 else None

    def _choose(self, entry: Entry, query: ScoreQuery, asked: Asked) -> tuple[Arm, bool]:
        """The arm, and whether the request takes part."""
        experiment = entry.experiment
        if asked.arm is not None:
            arm = _named(entry, asked.arm)
            self._metrics.overridden.labels(experiment.name, arm.name).inc()
            return arm, True
        unit = _unit(query, asked)
        if unit is None:
            self._metrics.unassigned.labels(experiment.name).inc()
            return experiment.control_arm, False
        name = arm_of(entry.allocation, bucket(self._key, experiment.name, unit))
        self._metrics.assigned.labels(experiment.name, name).inc()
        return experiment.arm(name), True

    async def _serve(self, entry: Entry, arm: Arm, query: ScoreQuery) -> Served:
        if arm.name == entry.experiment.control:
            return await self._by_control(entry, query)
        scored, reason = None, "disabled"
        if not entry.breakers[arm.name].open:
            scored, reason = await self._try(entry, arm, query)
        if scored is not None and not reason:
            self._record(entry, arm, failed=False)
            return Served(scored, _labels(entry, arm))
        self._metrics.fallback.labels(entry.experiment.name, arm.name, reason).inc()
        served = await self._by_control(entry, query)
        if scored is not None:
            # Texts that no version can score are not the arm's fault.
            self._record(entry, arm, failed=_failures(served.scored.outcomes) < _failures(scored.outcomes))
        return served

    async def _try(self, entry: Entry, arm: Arm, query: ScoreQuery) -> tuple[Scored | None, str]:
        """The arm's answer, and why it is not good enough; no reason: it is."""
        try:
            scored = await self._score(entry, arm, query)
        except UnknownModel:
            return None, "not_resident"
        except Overloaded as error:
            if error.reason != "deadline":
                raise
            return None, "slow"
        return scored, "failed" if _failures(scored.outcomes) else ""

    async def _by_control(self, entry: Entry, query: ScoreQuery) -> Served:
        arm = entry.experiment.control_arm
        try:
            scored = await self._score(entry, arm, query)
        except UnknownModel:
            self._metrics.fallback.labels(entry.experiment.name, arm.name, "not_resident").inc()
            return Served(await self._scorer.score(query))
        return Served(scored, _labels(entry, arm))

    async def _score(self, entry: Entry, arm: Arm, query: ScoreQuery) -> Scored:
        started = self._clock()
        scored = await self._scorer.score(replace(query, model=entry.experiment.selector(arm)))
        entry.tallies[arm.name].add(scored.outcomes, self._clock() - started)
        return scored

    def _record(self, entry: Entry, arm: Arm, *, failed: bool) -> None:
        if entry.breakers[arm.name].record(self._clock(), failed=failed):
            self._metrics.disabled.labels(entry.experiment.name, arm.name).set(1)
            self._log.error(
                "experiment_arm_disabled", experiment=entry.experiment.name, arm=arm.name,
                cure="give the arm a version that works, then define the experiment again",
            )  # fmt: skip


def _named(entry: Entry, name: str) -> Arm:
    if not entry.experiment.overrides:
        raise MalformedRequest("this experiment lets no request name its arm (overrides: false)", param=ARM_HEADER)
    try:
        return entry.experiment.arm(name)
    except KeyError:
        known = ", ".join(arm.name for arm in entry.experiment.arms)
        raise MalformedRequest(f"the experiment has no such arm; arms: {known}", param=ARM_HEADER) from None


def _unit(query: ScoreQuery, asked: Asked) -> str | None:
    if asked.unit is None:
        return unit_of(query.items)
    if not 1 <= len(asked.unit) <= MAX_UNIT:
        raise MalformedRequest(f"{UNIT_HEADER} has 1 to {MAX_UNIT} characters", param=UNIT_HEADER)
    return named_unit(asked.unit)


def _labels(entry: Entry, arm: Arm) -> Mapping[str, str]:
    return {"experiment": entry.experiment.name, "arm": arm.name}


def _failures(outcomes: Sequence[Outcome]) -> int:
    return sum(isinstance(outcome, EngineError) for outcome in outcomes)
