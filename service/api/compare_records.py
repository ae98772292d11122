"""The wire's records of /rm/v1/compare."""

from typing import Annotated

from msgspec import Meta

from service.api import schemas
from service.wire import ComparePair, Wire, WireItem


class CompareRequest(Wire, kw_only=True):
    """Pairs or items, one of the two, to be scored by every version."""

    models: Annotated[list[Annotated[str, Meta(max_length=129)]], Meta(min_length=2, max_length=8)]
    pairs: list[ComparePair] | None = None
    items: list[WireItem] | None = None


class ComparedPair(Wire):
    """One pair, an entry a version."""

    versions: list[schemas.PreferencePair]


class ComparedItem(Wire):
    """One item, an entry a version."""

    versions: list[schemas.ScoredItem]


class WireFigure(Wire):
    """A value with its 95 % interval over resampled prompts; `note` says why there is none."""

    estimate: float
    low: float | None
    high: float | None
    note: str | None


class WireNoiseFloor(Wire):
    """ECE of a perfectly calibrated version on as many pairs: mean, 5 % and 95 % quantile."""

    mean: float
    low: float
    high: float


class WireVersionFigures(Wire):
    """One version against people."""

    name: str
    labeled: int
    voted: int
    figures: Annotated[dict[str, WireFigure], Meta(description="accuracy, ece, brier, nll; pearson, l1 of votes.")]
    ece_noise_floor: WireNoiseFloor | None


class WireDifference(Wire):
    """Another version beside the first."""

    first: str
    other: str
    items: int
    pairs: int
    agreement: Annotated[WireFigure | None, Meta(description="Share of pairs that both order alike.")]
    flips: Annotated[int, Meta(description="Pairs that they order differently.")]
    rank_correlation: WireFigure | None
    reward_shift: Annotated[WireFigure | None, Meta(description="Mean of r/T, other less first.")]
    probability_shift: Annotated[WireFigure | None, Meta(description="Mean |ΔP|.")]
    probability_shift_p95: float | None
    differences: Annotated[dict[str, WireFigure], Meta(description="Other less first, on the same prompts.")]


class WireComparison(Wire):
    """What differs between the versions."""

    versions: list[WireVersionFigures]
    differences: list[WireDifference]
    items_left_out: Annotated[int, Meta(description="Items that some version could not score.")]


class CompareResponse(Wire):
    """Scores by every version, in the request's order, and what differs."""

    request_id: str
    models: list[schemas.Model]
    comparison: WireComparison
    pairs: list[ComparedPair] | None = None
    items: list[ComparedItem] | None = None


COMPARE_WIRE = (CompareRequest, CompareResponse)
