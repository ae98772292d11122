"""The wire's records of experiments. Closed and strict; what a definition means is checked behind them."""

from typing import Annotated, Self

import msgspec
from msgspec import Meta

from service.experiments.arm_health import ArmHealth
from service.experiments.assign import BUCKETS, counts
from service.experiments.definition import Experiment, as_plain
from service.experiments.predict import residents, votes_since
from service.experiments.registry import Entry
from service.versions.live import Live
from service.wire import Wire


class WireArm(Wire):
    """A version of the experiment's model."""

    name: str
    version: Annotated[str, Meta(description="An alias, or 8 or more digits of a digest.")]
    weight: Annotated[int, Meta(description="Relative share of the units.")] = 0
    shadow: bool = False


class WireExperiment(Wire, kw_only=True):
    """A definition."""

    model: str
    control: Annotated[str, Meta(description="The arm that serves whenever another cannot.")]
    arms: list[WireArm]
    alpha: float = 0.05
    min_votes: int = 200
    criterion: Annotated[str, Meta(description="accuracy or brier: what decides.")] = "accuracy"
    tolerance: Annotated[float, Meta(description="Loss of the criterion that is accepted.")] = 0.0
    votes_per_prompt: Annotated[int, Meta(description="A prompt counts once it has so many votes.")] = 1
    slowdown: Annotated[float, Meta(description="Of the control's p95 latency: a slower arm is not promoted.")] = 1.5
    overrides: bool = True
    since: Annotated[str | None, Meta(description="Votes from then on count; ISO 8601 with a zone.")] = None
    fresh_prompts: Annotated[
        bool, Meta(description="Leave out votes on prompts that were voted on before: a version may know them.")
    ] = True
    running: bool = True


class NamedExperiment(WireExperiment, kw_only=True):
    """A definition and its name."""

    name: str

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """Build it from a definition, so that it can be put again."""
        return msgspec.convert(as_plain(experiment), cls)


class ArmState(Wire):
    """How an arm does, in this process, since it was defined."""

    name: str
    version: Annotated[
        str | None, Meta(description="The digest behind it now; null: not resident, the control serves.")
    ]
    share: Annotated[float, Meta(description="Of the units.")]
    disabled: Annotated[bool, Meta(description="Turned off because it failed, until the next definition.")]
    requests: int
    errors: Annotated[int, Meta(description="Requests with an item that its engine failed on.")]
    non_finite: int
    p95_s: float | None

    @classmethod
    def of(cls, name: str, version: str | None, share: float, health: ArmHealth) -> Self:
        """Build it from the counters of an arm's version."""
        counters = health.counters
        counted = (counters.requests, counters.errors, counters.non_finite, counters.p95_s)
        return cls(name, version, share, health.breaker.open, *counted)


class ExperimentState(Wire):
    """A definition and what became of it."""

    definition: NamedExperiment
    origin: Annotated[str, Meta(description="file or database.")]
    runs: bool
    problem: Annotated[str | None, Meta(description="Why it does not run though it should.")]
    votes_since: Annotated[float, Meta(description="Votes from then on count; seconds since the epoch.")]
    arms: list[ArmState]

    @classmethod
    def of(cls, entry: Entry, live: Live) -> Self:
        """Build it from a definition and the versions that are loaded."""
        experiment = entry.experiment
        versions, buckets = residents(experiment, live), counts(entry.allocation)
        digests = {name: version.digest for name, version in versions.items()}
        arms = []
        for name in (arm.name for arm in experiment.arms):
            digest = digests.get(name)
            arms.append(ArmState.of(name, digest, buckets.get(name, 0) / BUCKETS, entry.seen(name, digest)))
        since = votes_since(experiment, versions)
        return cls(NamedExperiment.of(experiment), entry.origin, entry.runs, entry.problem, since, arms)


class ExperimentsResponse(Wire):
    """All experiments."""

    experiments: list[ExperimentState]


class Deleted(Wire):
    """The name of a deleted experiment."""

    deleted: str


EXPERIMENT_WIRE = (WireExperiment, NamedExperiment, ExperimentState, ExperimentsResponse, Deleted)
