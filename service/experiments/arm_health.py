"""How an arm's version has served since its experiment was defined, in this process."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from plurality.core.errors import PluralityError
from service.domain import Outcome, Reward
from service.errors import EngineError, NonFiniteReward
from service.experiments.breaker import Breaker

_LATENCIES = 1000


@dataclass(slots=True)
class ArmCounters:
    """Counts of one arm's version, also of the requests that the control answered in the end."""

    requests: int = 0
    errors: int = 0
    """Requests that it answered worse than it should have: an item without a reward, too late, or too slow."""
    non_finite: int = 0
    """Items whose reward was NaN or infinite."""
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    def add(self, faults: Sequence[PluralityError], seconds: float | None = None) -> None:
        """Note a request.

        Args:
            faults: what the version is to blame for; none where it did well.
            seconds: how long the answer took; None where that compares with nothing.
        """
        self.requests += 1
        self.errors += bool(faults)
        self.non_finite += sum(isinstance(fault, NonFiniteReward) for fault in faults)
        if seconds is not None:
            self._seconds.append(seconds)

    @property
    def p95_s(self) -> float | None:
        """95 % quantile of the last thousand answers' times; None before the first."""
        return float(np.quantile(self._seconds, 0.95)) if self._seconds else None


@dataclass(slots=True)
class ArmHealth:
    """Counters and breaker of one version as an arm."""

    counters: ArmCounters = field(default_factory=ArmCounters)
    breaker: Breaker = field(default_factory=Breaker)


def engine_errors(outcomes: Sequence[Outcome]) -> list[PluralityError]:
    """Items that an engine failed on, as far as one version's answer tells."""
    return [outcome for outcome in outcomes if isinstance(outcome, EngineError)]


def attributable_errors(outcomes: Sequence[Outcome], others: Sequence[Outcome]) -> list[PluralityError]:
    """Return errors of items that this version failed to score and another scored, so the text is not the cause."""
    pairs = zip(outcomes, others, strict=True)
    return [one for one, other in pairs if not isinstance(one, Reward) and isinstance(other, Reward)]
