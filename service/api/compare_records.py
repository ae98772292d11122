"""The wire's records of /rm/v1/compare."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from service.experiments.compare import Comparison
from service.wire import ComparePair, Model, PreferencePair, ScoredItem, Wire, WireItem


class CompareRequest(Wire, kw_only=True):
    """Pairs or items, one of the two, to be scored by every version."""

    models: Annotated[list[Annotated[str, Meta(max_length=129)]], Meta(min_length=2, max_length=8)]
    pairs: list[ComparePair] | None = None
    items: list[WireItem] | None = None


class ComparedPair(Wire):
    """One pair, an entry a version."""

    versions: list[PreferencePair]


class ComparedItem(Wire):
    """One item, an entry a version."""

    versions: list[ScoredItem]


class WireVersionFigures(Wire):
    """One version against people."""

    name: str
    labeled: int
    voted: int
    figures: Annotated[dict[str, float], Meta(description="accuracy, ece, brier, nll; pearson, l1 of votes.")]


class WireDifference(Wire):
    """Another version beside the first."""

    first: str
    other: str
    items: int
    pairs: int
    agreement: Annotated[float | None, Meta(description="Share of pairs that both order alike.")]
    flips: Annotated[int, Meta(description="Pairs that they order differently.")]
    rank_correlation: float | None
    reward_shift: Annotated[float | None, Meta(description="Mean of r/T, other less first.")]
    probability_shift: Annotated[float | None, Meta(description="Mean |ΔP|.")]
    probability_shift_p95: float | None
    differences: Annotated[dict[str, float], Meta(description="Other less first, on the same pairs.")]


class WireComparison(Wire):
    """What differs between the versions."""

    versions: list[WireVersionFigures]
    differences: list[WireDifference]
    items_left_out: Annotated[int, Meta(description="Items that some version could not score.")]

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """Build it from a comparison: figures become numbers, and what takes resampling is left out."""
        return msgspec.convert(asdict(found, dict_factory=_value), cls)


class CompareResponse(Wire, omit_defaults=True):
    """Scores by every version, in the request's order, and what differs."""

    request_id: str
    models: list[Model]
    comparison: WireComparison
    pairs: list[ComparedPair] | None = None
    items: list[ComparedItem] | None = None


def _value(items: Sequence[tuple[str, Any]]) -> Any:
    named = {name: value for name, value in items if name != "ece_noise_floor"}
    return named.get("estimate", named)


COMPARE_WIRE = (CompareRequest, CompareResponse)
