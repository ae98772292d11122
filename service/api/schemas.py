"""The native wire format, in both directions. Closed and strict: no unknown fields, no coercion, no NaN.

msgspec structs: they decode a body straight into these records, and the OpenAPI document is generated from them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self, cast

from msgspec import Meta

from service.bundle.calibrate import group_advantages, softmax
from service.domain import Reward
from service.scoring import Scored
from service.versions.resident import ResidentVersion, Snapshot
from service.versions.states import RESIDENT, Rejection, State, VersionStatus
from service.wire import Model, PreferencePair, ScoredItem, Selector, Source, Text, Wire, WireItem, WirePair, WirePrompt

LoadedState = Literal["ready", "active"]
ComingState = Literal["discovered", "verifying", "probing", "loading", "warming", "self_test"]


class ScoreRequest(Wire, kw_only=True):
    """Items to score."""

    model: Selector = None
    items: list[WireItem]


class PreferenceRequest(Wire, kw_only=True):
    """Pairs to compare."""

    model: Selector = None
    pairs: list[WirePair]


class RankRequest(Wire, kw_only=True):
    """Responses to one prompt, to be put in order."""

    model: Selector = None
    prompt: WirePrompt
    responses: Annotated[list[Text], Meta(min_length=1)]
    win_matrix: Annotated[bool, Meta(description="Also P(i preferred over j) for all i, j.")] = False
    source: Source = None
    advantages: Annotated[bool, Meta(description="Also (r - mean) / (std + 1e-4) over the group, as in GRPO.")] = False


class ScoreResponse(Wire):
    """One entry an item, in the request's order, all of one version."""

    request_id: str
    model: Model
    items: list[ScoredItem]


class PreferenceResponse(Wire):
    """One entry a pair, in the request's order, all of one version."""

    request_id: str
    model: Model
    pairs: list[PreferencePair]


class RankResponse(Wire, omit_defaults=True):
    """The responses from best to worst."""

    request_id: str
    model: Model
    order: Annotated[
        list[int], Meta(description="Places of the scored responses, best first; ties in the request's order.")
    ]
    weights: Annotated[list[float | None], Meta(description="Softmax of r / T over the scored responses.")]
    items: list[ScoredItem]
    win_matrix: list[list[float | None]] | None = None
    advantages: list[float | None] | None = None

    @classmethod
    def of(
        cls, scored: Scored, request_id: str, *, win_matrix: bool, advantages: bool, source: str | None = None
    ) -> Self:
        """Rank one prompt's scored responses; one that failed is not ranked and has null in its fields."""
        values = {i: outcome.value for i, outcome in enumerate(scored.outcomes) if isinstance(outcome, Reward)}
        rewards = list(values.values())
        calibrator, every = scored.calibrator, range(len(scored.outcomes))

        def win(i: int, j: int) -> float | None:
            known = i in values and j in values
            return calibrator.probability(values[i] - values[j], source) if known else None

        def spread(ranked: Sequence[float]) -> list[float | None]:
            found = dict(zip(values, ranked, strict=True))
            return [found.get(i) for i in every]

        return cls(
            request_id,
            Model.of(scored.manifest, scored.digest),
            order=sorted(values, key=lambda i: (-values[i], i)),
            weights=spread(softmax(rewards, temperature=calibrator.temperature_of(source)) if rewards else ()),
            items=[ScoredItem.of(outcome) for outcome in scored.outcomes],
            win_matrix=[[win(i, j) for j in every] for i in every] if win_matrix else None,
            advantages=spread(group_advantages(rewards) if rewards else ()) if advantages else None,
        )


class ServedVersion(Wire):
    """A loaded version and its aliases."""

    model: Model
    aliases: list[str]
    state: Annotated[LoadedState, Meta(description="active: an alias names it. ready: loaded, to be gone back to.")]
    since: Annotated[str, Meta(description="When it came to that state; ISO 8601.")]
    reason: Annotated[str | None, Meta(description="Why an alias was taken from it: `rolled_back:` and the cause.")]
    max_length: int
    input_format: str
    temperature: float
    calibration: Annotated[str | None, Meta(description="temperature, power or isotonic; null while uncalibrated.")]
    sources: Annotated[list[str], Meta(description="Sources of prompts that have a temperature of their own.")]
    golden_tolerance: float
    evaluation: dict[str, float]

    @classmethod
    def of(cls, version: ResidentVersion, aliases: Sequence[str], status: VersionStatus) -> Self:
        """Build it from a loaded version, its aliases and its state."""
        manifest = version.manifest
        return cls(
            Model.of(manifest, version.digest),
            sorted(aliases),
            state=cast("LoadedState", status.state.value),
            since=_time(status.since),
            reason=status.reason,
            max_length=manifest.input_format.max_length,
            input_format=manifest.input_format.kind,
            temperature=manifest.calibrator.temperature,
            calibration=manifest.calibration.method if manifest.calibration else None,
            sources=sorted(manifest.calibrator.sources),
            golden_tolerance=manifest.golden_tolerance,
            evaluation=manifest.evaluation,
        )


class RejectedVersion(Wire):
    """A version that the store names and that is not served."""

    model: str
    version: str | None
    reason: str
    message: str

    @classmethod
    def of(cls, entry: Rejection) -> Self:
        """Build it from a refusal."""
        return cls(entry.model, entry.digest, entry.reason, entry.message)


class PendingVersion(Wire):
    """A version on its way to being loaded."""

    model: str
    version: str
    state: ComingState
    since: str

    @classmethod
    def of(cls, status: VersionStatus) -> Self:
        """Build it from a version's state."""
        return cls(status.model, status.digest, cast("ComingState", status.state.value), _time(status.since))


class ModelsResponse(Wire):
    """The loaded, refused (with reasons) and loading versions."""

    versions: list[ServedVersion]
    rejected: list[RejectedVersion]
    pending: list[PendingVersion]

    @classmethod
    def of(cls, snapshot: Snapshot, statuses: Sequence[VersionStatus]) -> Self:
        """List the versions of a snapshot, those that were refused, and those on their way."""
        known = {status.key: status for status in statuses}
        aliases: dict[str, list[str]] = {}
        for names in snapshot.aliases.values():
            for alias, version in names.items():
                aliases.setdefault(version.digest, []).append(alias)
        return cls(
            [
                ServedVersion.of(version, aliases.get(digest, ()), known[version.manifest.model, digest])
                for digest, version in snapshot.resident.items()
            ],
            [RejectedVersion.of(entry) for entry in snapshot.rejections],
            [PendingVersion.of(status) for status in statuses if status.state not in RESIDENT | {State.REJECTED}],
        )


def _time(seconds: float) -> str:
    """Seconds since the epoch in ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
