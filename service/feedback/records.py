"""The plain values of feedback. A vote is one person's judgement of one pair."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from plurality.core.pairs import ResponsePair

Rows = Literal["pairs", "votes"]
"""What a line of an export is: a pair with all its votes, or one vote."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's judgement. `id` is the caller's: the same vote sent twice is one vote."""

    id: str
    pair: ResponsePair
    share_a: float
    """How far a is preferred, in [0, 1]: 1 and 0 are binary votes, 0.5 a tie, 0.7 is "7A-3B" (arXiv 2412.03822)."""
    voter: str
    """A pseudonymous key; what is deleted when a person asks for it."""
    model: str
    """Name of the model (not of a version) whose scores were judged."""
    created: float
    """Seconds since the epoch, of the server that took it."""
    graded: bool = False
    """Given as 10-0 ... 0-10 rather than as a choice."""
    category: str | None = None
    source: str | None = None
    request_id: str | None = None
    """Of the reply that showed the pair, where the vote names one."""
    experiment: str | None = None
    arm: str | None = None
    """What served the pair, where that is known."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one version says of a vote's pair."""

    reward_a: float
    reward_b: float
    probability: float
    """Calibrated P(a preferred)."""


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A pair of a reply, remembered so that a vote can name it by request id and place."""

    request_id: str
    index: int
    pair: ResponsePair
    model: str
    digest: str
    prediction: Prediction
    created: float
    source: str | None = None
    experiment: str | None = None
    arm: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A vote beside the versions' predictions: one row of a paired comparison."""

    vote: Vote
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    """By version digest."""
