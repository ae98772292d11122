"""From a `Scored` to the wire's plain dictionaries, of the shapes in `schemas.py` (a test holds the two together)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from service.bundle.calibrate import UNCALIBRATED, Calibrator, expected_disagreement, group_advantages, softmax
from service.bundle.manifest import Manifest
from service.domain import Outcome, Reward
from service.scoring import Scored
from service.versions.resident import ResidentVersion, Snapshot
from service.versions.states import RESIDENT, State, VersionStatus
from service.wire import item

Json = dict[str, Any]


def score(scored: Scored, request_id: str) -> Json:
    """The reply of /score."""
    items = [item(outcome) for outcome in scored.outcomes]
    return {"request_id": request_id, "model": model(scored.manifest, scored.digest), "items": items}


def preference(scored: Scored, request_id: str, *, sources: Sequence[str | None]) -> Json:
    """The reply of /preference; outcomes come as a, b, a, b, ..., sources one a pair."""
    sides = scored.outcomes
    pairs = [pair(sides[2 * i], sides[2 * i + 1], scored.calibrator, source=source) for i, source in enumerate(sources)]
    return {"request_id": request_id, "model": model(scored.manifest, scored.digest), "pairs": pairs}


def rank(scored: Scored, request_id: str, *, win_matrix: bool, advantages: bool, source: str | None = None) -> Json:
    """Build the reply of /rank; a response that failed is not ranked and has null in its fields."""
    values = {i: outcome.value for i, outcome in enumerate(scored.outcomes) if isinstance(outcome, Reward)}
    places, rewards = list(values), list(values.values())
    count = len(scored.outcomes)
    calibrator = scored.calibrator
    temperature = calibrator.temperature_of(source)
    reply: Json = {
        "request_id": request_id,
        "model": model(scored.manifest, scored.digest),
        "order": sorted(places, key=lambda i: (-values[i], i)),
        "weights": _spread(softmax(rewards, temperature=temperature) if rewards else [], places, count),
        "items": [item(outcome) for outcome in scored.outcomes],
    }
    if win_matrix:
        reply["win_matrix"] = [
            [_win(values.get(i), values.get(j), calibrator, source) for j in range(count)] for i in range(count)
        ]
    if advantages:
        reply["advantages"] = _spread(group_advantages(rewards) if rewards else [], places, count)
    return reply


def models(snapshot: Snapshot, statuses: Sequence[VersionStatus]) -> Json:
    """The reply of /models."""
    known = {status.key: status for status in statuses}
    aliases: dict[str, list[str]] = {}
    for names in snapshot.aliases.values():
        for alias, bundle in names.items():
            aliases.setdefault(bundle.digest, []).append(alias)
    versions = [
        _served(bundle, sorted(aliases.get(digest, ())), known[bundle.manifest.model, digest])
        for digest, bundle in snapshot.resident.items()
    ]
    rejected = [
        {"model": entry.model, "version": entry.digest, "reason": entry.reason, "message": entry.message}
        for entry in snapshot.rejections
    ]
    pending = [
        {"model": status.model, "version": status.digest, "state": status.state, "since": _time(status.since)}
        for status in statuses
        if status.state not in RESIDENT | {State.REJECTED}
    ]
    return {"versions": versions, "rejected": rejected, "pending": pending}


def model(manifest: Manifest, digest: str) -> Json:
    """Which version answered."""
    return {
        "name": manifest.model,
        "version": digest,
        "sequence": manifest.sequence,
        "objective": manifest.objective,
        "precision": manifest.precision,
        "calibrated": manifest.calibration is not None,
    }


def pair(first: Outcome, second: Outcome, calibrator: Calibrator, *, source: str | None = None) -> Json:
    """One pair; without both rewards there is no probability, and nothing is made up."""
    reply: Json = {"a": item(first), "b": item(second)}
    if not (isinstance(first, Reward) and isinstance(second, Reward)):
        return reply | dict.fromkeys(("probability", "raw_probability", "reward_diff", "expected_disagreement"))
    reward_diff = first.value - second.value
    probability = calibrator.probability(reward_diff, source)
    return reply | {
        "probability": probability,
        "raw_probability": UNCALIBRATED.probability(reward_diff),
        "reward_diff": reward_diff,
        "expected_disagreement": expected_disagreement(probability),
    }


def _win(first: float | None, second: float | None, calibrator: Calibrator, source: str | None) -> float | None:
    if first is None or second is None:
        return None
    return calibrator.probability(first - second, source)


def _spread(values: list[float], places: list[int], count: int) -> list[float | None]:
    spread: list[float | None] = [None] * count
    for place, value in zip(places, values, strict=True):
        spread[place] = value
    return spread


def _time(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _served(bundle: ResidentVersion, aliases: list[str], status: VersionStatus) -> Json:
    manifest = bundle.manifest
    return {
        "model": model(manifest, bundle.digest),
        "aliases": aliases,
        "state": status.state,
        "since": _time(status.since),
        "reason": status.reason,
        "max_length": manifest.input_format.max_length,
        "input_format": manifest.input_format.kind,
        "temperature": manifest.calibrator.temperature,
        "calibration": manifest.calibration.method if manifest.calibration else None,
        "sources": sorted(manifest.calibrator.sources),
        "golden_tolerance": manifest.golden_tolerance,
        "evaluation": manifest.evaluation,
    }
