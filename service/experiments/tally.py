"""How an arm has served since its experiment was defined, in this process."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from service.domain import Outcome
from service.errors import EngineError, NonFiniteReward

_LATENCIES = 1000


@dataclass(slots=True)
class Tally:
    """Counts of one arm's version, also of the requests that the control answered in the end."""

    requests: int = 0
    errors: int = 0
    """Requests with an item that its engine failed on."""
    non_finite: int = 0
    """Items whose reward was NaN or infinite."""
    _seconds: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))

    def add(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """Note an answer."""
        self.requests += 1
        self.errors += any(isinstance(outcome, EngineError) for outcome in outcomes)
        self.non_finite += sum(isinstance(outcome, NonFiniteReward) for outcome in outcomes)
        self._seconds.append(seconds)

    @property
    def p95_s(self) -> float | None:
        """95 % quantile of the last thousand answers' times; None before the first."""
        return float(np.quantile(self._seconds, 0.95)) if self._seconds else None
