"""What goes into a call and what comes back, frozen. A reward is a finite float, or None beside its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Message = Mapping[str, str]
"""`role` (system, user or assistant) and `content`."""
Prompt = str | Sequence[Message]
"""A text, or the conversation that the response answers."""


class Item(NamedTuple):
    """A response and what it answers; a plain tuple of the two will do."""

    prompt: Prompt
    response: str


class Pair(NamedTuple):
    """Two responses to one prompt; a plain tuple of the three will do."""

    prompt: Prompt
    response_a: str
    response_b: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no number; `code` is stable and machine-readable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Model:
    """Which version answered; `version` is its digest."""

    name: str
    version: str
    sequence: int
    objective: str
    precision: str
    calibrated: bool

    @property
    def selector(self) -> str:
        """What asks for this very version."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Scored:
    """One item: a reward and how it was read, or `error`."""

    reward: float | None
    tokens: int | None = None
    truncated: bool = False
    """Tokens were cut from the left to fit the model: the reward is that of a shortened text."""
    cut_tokens: int = 0
    error: Failure | None = None


class _WithItems:
    """Of what holds one entry an item."""

    __slots__ = ()
    items: tuple[Scored, ...]

    @property
    def truncated(self) -> int:
        """How many items were cut to fit."""
        return sum(item.truncated for item in self.items)

    @property
    def failures(self) -> dict[int, Failure]:
        """Why, by place."""
        return {place: item.error for place, item in enumerate(self.items) if item.error is not None}


@dataclass(frozen=True, slots=True)
class Scores(_WithItems):
    """One entry an item, in the call's order, all of one version."""

    model: Model | None
    """None only if not one request succeeded (or nothing was asked)."""
    items: tuple[Scored, ...]
    request_ids: tuple[str, ...] = ()

    @property
    def rewards(self) -> list[float | None]:
        """The rewards; None where an item failed, which happens with `on_failure="none"` only."""
        return [item.reward for item in self.items]


@dataclass(frozen=True, slots=True)
class Compared:
    """One pair; without both rewards there is no probability."""

    probability: float | None
    """Calibrated P(a preferred)."""
    raw_probability: float | None
    reward_diff: float | None
    """r_a - r_b."""
    expected_disagreement: float | None
    """0: all agree; 1: an even split."""
    a: Scored
    b: Scored

    @property
    def error(self) -> Failure | None:
        """The first side's that failed."""
        return self.a.error or self.b.error


@dataclass(frozen=True, slots=True)
class Preferences:
    """One entry a pair, in the call's order, all of one version."""

    model: Model | None
    pairs: tuple[Compared, ...]
    request_ids: tuple[str, ...] = ()

    @property
    def probabilities(self) -> list[float | None]:
        """P(a preferred); None where a pair failed, which happens with `on_failure="none"` only."""
        return [pair.probability for pair in self.pairs]

    @property
    def truncated(self) -> int:
        """How many sides were cut to fit."""
        return sum(pair.a.truncated + pair.b.truncated for pair in self.pairs)

    @property
    def failures(self) -> dict[int, Failure]:
        """Why, by place."""
        return {place: pair.error for place, pair in enumerate(self.pairs) if pair.error is not None}


@dataclass(frozen=True, slots=True)
class Ranking(_WithItems):
    """The responses to one prompt from best to worst."""

    model: Model
    order: tuple[int, ...]
    """Places of the scored responses, best first."""
    weights: tuple[float | None, ...]
    items: tuple[Scored, ...]
    win_matrix: tuple[tuple[float | None, ...], ...] | None = None
    advantages: tuple[float | None, ...] | None = None
    request_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Served:
    """A version that the service holds ready, and its aliases."""

    model: Model
    aliases: tuple[str, ...]
    max_length: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A version that the store names and that is not served."""

    model: str
    version: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Models:
    """The served versions, and the refused ones with reasons."""

    served: tuple[Served, ...]
    rejected: tuple[Rejected, ...]


@dataclass(frozen=True, slots=True)
class VersionChange:
    """The model changed during the run (`pin="record"`)."""

    before: Model
    after: Model
