"""Who answers a request for an experiment's model: its arm, or the control wherever the arm cannot. Knows no HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from plurality.core.errors import PluralityError
from service.domain import Reward, ScoreQuery
from service.errors import DeadlineExceeded, MalformedRequest, Overloaded, Unavailable, UnknownModel
from service.experiments.arm_health import ArmCounters, ArmHealth, attributable_errors, engine_errors
from service.experiments.assign import arm_of, bucket, named_unit, unit_of
from service.experiments.definition import Arm
from service.experiments.registry import Entry, Registry
from service.experiments.shadow import Shadows
from service.scoring import Scored, Scorer
from service.telemetry.experiments import ExperimentMetrics
from service.telemetry.logs import get_logger
from service.versions.live import Live

UNIT_HEADER = "x-experiment-unit"
ARM_HEADER = "x-experiment-arm"
MAX_UNIT = 256
_SLOW = DeadlineExceeded("the queue is longer than the deadline allows")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request says of experiments."""

    unit: str | None = None
    """What is to stay in one arm: a user, a session, a training run. None: the prompt."""
    arm: str | None = None
    """Served by this arm, whatever the unit."""


@dataclass(frozen=True, slots=True)
class Served:
    """A scored request and the arm that scored it."""

    scored: Scored
    labels: Mapping[str, str] = field(default_factory=dict)
    """`experiment` and `arm`; empty where the request took no part."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An arm's outcome, and the counters that record it."""

    scored: Scored
    health: ArmHealth
    seconds: float | None


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
        served = await self._serve(entry, arm, query, takes_part=takes_part)
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

    async def _serve(self, entry: Entry, arm: Arm, query: ScoreQuery, *, takes_part: bool) -> Served:
        if arm.name == entry.experiment.control:
            return await self._by_control(entry, query, counted=takes_part)
        health = self._health(entry, arm)
        if health is None:
            return await self._instead(entry, arm, query, "not_resident")
        self._metrics.disabled.labels(entry.experiment.name, arm.name).set(health.breaker.open)
        if health.breaker.open:
            return await self._instead(entry, arm, query, "disabled")
        started = self._clock()
        scored = await self._try(entry, arm, query, health)
        if scored is None:
            served = await self._instead(entry, arm, query, "slow")
            health.counters.add([_SLOW])  # had the control been no faster, it would have raised
            return served
        own = _Answer(scored, health, None if arm.shadow else self._clock() - started)
        return await self._better(entry, arm, query, own)

    async def _try(self, entry: Entry, arm: Arm, query: ScoreQuery, health: ArmHealth) -> Scored | None:
        """The arm's answer; None: its queue is too long for the deadline."""
        try:
            return await self._ask(entry, arm, query)
        except DeadlineExceeded as error:
            health.counters.add([error])
            self._record(entry, arm, health, failed=True)
            raise
        except Overloaded as error:
            if error.reason != "deadline":
                raise
            return None

    async def _better(self, entry: Entry, arm: Arm, query: ScoreQuery, own: _Answer) -> Served:
        """The arm's answer, or the control's where it gives more rewards."""
        outcomes = own.scored.outcomes
        served, blame = Served(own.scored, _labels(entry, arm)), list[PluralityError]()
        if not all(isinstance(outcome, Reward) for outcome in outcomes):
            try:
                control = await self._by_control(entry, query)
            except (Unavailable, DeadlineExceeded):
                if engine_errors(outcomes):
                    raise
                return served  # refused items are an answer
            blame = attributable_errors(outcomes, control.scored.outcomes)
            if _rewards(control.scored) > _rewards(own.scored):
                self._metrics.fallback.labels(entry.experiment.name, arm.name, "failed").inc()
                served = control
        own.health.counters.add(blame, own.seconds)
        self._record(entry, arm, own.health, failed=bool(blame))
        return served

    async def _instead(self, entry: Entry, arm: Arm, query: ScoreQuery, reason: str) -> Served:
        self._metrics.fallback.labels(entry.experiment.name, arm.name, reason).inc()
        return await self._by_control(entry, query)

    async def _by_control(self, entry: Entry, query: ScoreQuery, *, counted: bool = True) -> Served:
        arm = entry.experiment.control_arm
        health = self._health(entry, arm)
        if health is None:
            self._metrics.fallback.labels(entry.experiment.name, arm.name, "not_resident").inc()
            return Served(await self._scorer.score(query))
        counters = health.counters if counted else ArmCounters()
        started = self._clock()
        try:
            scored = await self._ask(entry, arm, query)
        except DeadlineExceeded as error:
            counters.add([error])
            raise
        counters.add(engine_errors(scored.outcomes), self._clock() - started)
        return Served(scored, _labels(entry, arm))

    def _health(self, entry: Entry, arm: Arm) -> ArmHealth | None:
        """Of the version that the arm has now; None: it is not resident."""
        try:
            with self._live.pin(entry.experiment.selector(arm)) as bundle:
                return entry.health(arm.name, bundle.digest)
        except UnknownModel:
            return None

    async def _ask(self, entry: Entry, arm: Arm, query: ScoreQuery) -> Scored:
        return await self._scorer.score(replace(query, model=entry.experiment.selector(arm)))

    def _record(self, entry: Entry, arm: Arm, health: ArmHealth, *, failed: bool) -> None:
        if health.breaker.record(self._clock(), failed=failed):
            self._metrics.disabled.labels(entry.experiment.name, arm.name).set(1)
            self._log.error(
                "experiment_arm_disabled", experiment=entry.experiment.name, arm=arm.name,
                cure="give the arm a version that works",
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


def _rewards(scored: Scored) -> int:
    return sum(isinstance(outcome, Reward) for outcome in scored.outcomes)
