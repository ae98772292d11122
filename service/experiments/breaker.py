"""When an arm is turned off: too many of its requests failed within a window. Pure; the clock is the caller's."""

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """The limits that open the breaker."""

    window_s: float = 60.0
    failures: int = 5
    """Fewer never turn an arm off."""
    ratio: float = 0.1
    """Share of the window's requests."""


@dataclass(slots=True)
class Breaker:
    """One version's as an arm. Once open it stays open: another version, or a new definition, has a new breaker."""

    rules: BreakerRules = BreakerRules()
    open: bool = False
    _requests: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=10_000))
    _failures: int = 0

    def record(self, now: float, *, failed: bool) -> bool:
        """Note a request's end; True in the moment that the arm is turned off."""
        if len(self._requests) == self._requests.maxlen:
            self._failures -= self._requests.popleft()[1]
        self._requests.append((now, failed))
        self._failures += failed
        while self._requests[0][0] < now - self.rules.window_s:
            self._failures -= self._requests.popleft()[1]
        if self.open or self._failures < self.rules.failures:
            return False
        self.open = self._failures >= self.rules.ratio * len(self._requests)
        return self.open
