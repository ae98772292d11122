"""What each arm's version says of the pairs that people voted on, scored in the background for the reports."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from plurality.core.errors import PluralityError
from service.admission import Gate
from service.domain import Reward, ScoreQuery
from service.errors import InvalidInput, Unavailable, UnknownModel
from service.experiments.definition import Arm, Experiment, since_of
from service.experiments.registry import Registry
from service.feedback.records import Judged, Prediction, Vote
from service.scoring import Scored, Scorer
from service.telemetry.experiments import ExperimentMetrics
from service.telemetry.logs import get_logger
from service.versions.live import Live

BATCH_VOTES = 8
"""Scored at once: whoever comes meanwhile shares the cores with so few."""
_PATIENCE_S = 120.0
"""Later than any usual deadline: the queue takes what is urgent first."""
_SELECTOR_DIGITS = 32


class Votes(Protocol):
    """The feedback store's methods that predictions need; synchronous, called in threads."""

    def unpredicted(self, model: str, digest: str, since: float | None = None, limit: int = 500) -> list[Vote]: ...

    def predict(self, vote_id: str, digest: str, prediction: Prediction) -> None: ...

    def judged(
        self, model: str, digests: Sequence[str], since: float | None = None, *, fresh: bool = False
    ) -> list[Judged]: ...


@dataclass(frozen=True, slots=True)
class Resident:
    """The version that an arm has now."""

    digest: str
    created: str


def residents(experiment: Experiment, live: Live) -> Mapping[str, Resident]:
    """By arm, those whose version can be scored with."""
    found: dict[str, Resident] = {}
    for arm in experiment.arms:
        try:
            with live.pin(experiment.selector(arm)) as bundle:
                found[arm.name] = Resident(bundle.digest, bundle.manifest.created)
        except (UnknownModel, Unavailable):
            continue
    return found


def votes_since(experiment: Experiment, versions: Mapping[str, Resident]) -> float:
    """From when votes count, in seconds since the epoch."""
    return since_of(experiment, {version.digest: version.created for version in versions.values()})


class Predictor:
    """One task for all experiments."""

    def __init__(
        self,
        registry: Registry,
        live: Live,
        scorer: Scorer,
        gate: Gate,
        votes: Votes,
        metrics: ExperimentMetrics,
        *,
        max_load: float,
        max_items: int,
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._live = live
        self._scorer = scorer
        self._gate = gate
        self._votes = votes
        self._metrics = metrics
        self._max_load = max_load
        self._batch = max(1, min(BATCH_VOTES, max_items // 2))
        self._interval_s = interval_s
        self._clock = clock
        self._hopeless: dict[str, set[str]] = {}
        """Votes that a version cannot score, by digest: while it is resident nobody asks it again."""
        self._log = get_logger(__name__)

    async def run(self) -> None:
        """Predict until cancelled; sleep where there is nothing to do."""
        while True:
            if not await self.step():
                await asyncio.sleep(self._interval_s)

    async def step(self) -> int:
        """One batch for each arm of each running experiment; how many votes were predicted."""
        done, resident = 0, set[str]()
        for entry in tuple(self._registry.running.values()):
            versions = residents(entry.experiment, self._live)
            resident |= {version.digest for version in versions.values()}
            done += await self._apart(entry.experiment, versions)
        self._hopeless = {digest: votes for digest, votes in self._hopeless.items() if digest in resident}
        return done

    async def _apart(self, experiment: Experiment, versions: Mapping[str, Resident]) -> int:
        """Isolate errors per experiment: a failing one is retried later, the others continue."""
        try:
            return await self._arms(experiment, versions)
        except PluralityError as error:  # full, draining, or the database is away: later
            self._log.warning("predictions_wait", experiment=experiment.name, code=error.code)
        except Exception as error:  # noqa: BLE001 - the boundary of the task: reports wait, nobody else
            self._log.error("predictions_failed", experiment=experiment.name, error=type(error).__name__)
        return 0

    async def _arms(self, experiment: Experiment, versions: Mapping[str, Resident]) -> int:
        since = votes_since(experiment, versions)
        done = 0
        for arm in experiment.arms:
            if arm.name in versions:
                done += await self._arm(experiment, arm, versions[arm.name].digest, since)
        return done

    async def _arm(self, experiment: Experiment, arm: Arm, digest: str, since: float) -> int:
        hopeless = self._hopeless.setdefault(digest, set())
        limit = self._batch + len(hopeless)
        found = await asyncio.to_thread(self._votes.unpredicted, experiment.model, digest, since, limit)
        votes = [vote for vote in found if vote.id not in hopeless][: self._batch]
        if not votes:
            return 0
        predictions = await self._predict(experiment.model, digest, votes)
        if lost := {vote.id for vote in votes} - predictions.keys():
            hopeless |= lost
            self._log.warning(
                "predictions_impossible", experiment=experiment.name, arm=arm.name, digest=digest[:12], votes=len(lost)
            )
        await asyncio.to_thread(self._keep, digest, predictions)
        self._metrics.predicted.labels(experiment.name, arm.name).inc(len(predictions))
        return len(predictions)

    async def _predict(self, model: str, digest: str, votes: Sequence[Vote]) -> dict[str, Prediction]:
        """By vote; none of those that the version cannot score. One that is refused does not take others with it."""
        await self._gate.below(self._max_load)
        try:
            return _predictions(votes, await self._score(model, digest, votes))
        except InvalidInput:
            if len(votes) == 1:
                return {}
        found: dict[str, Prediction] = {}
        for vote in votes:
            found |= await self._predict(model, digest, [vote])
        return found

    async def _score(self, model: str, digest: str, votes: Sequence[Vote]) -> Scored:
        # Never `block`: who waits in the gate's line has whoever comes after refused.
        items = [item for vote in votes for item in vote.pair.items]
        selector = f"{model}@{digest[:_SELECTOR_DIGITS]}"
        return await self._scorer.score(ScoreQuery(items, selector, self._clock() + _PATIENCE_S, traffic=False))

    def _keep(self, digest: str, predictions: Mapping[str, Prediction]) -> None:
        for vote_id, prediction in predictions.items():
            self._votes.predict(vote_id, digest, prediction)


def _predictions(votes: Sequence[Vote], scored: Scored) -> dict[str, Prediction]:
    """By vote; none where a side has no reward."""
    found: dict[str, Prediction] = {}
    for vote, a, b in zip(votes, scored.outcomes[::2], scored.outcomes[1::2], strict=True):
        if isinstance(a, Reward) and isinstance(b, Reward):
            probability = scored.calibrator.probability(a.value - b.value, vote.source)
            found[vote.id] = Prediction(a.value, b.value, probability)
    return found
