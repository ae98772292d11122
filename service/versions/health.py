"""Decides automatic rollback of a newly active version: non-finite rewards or a high rate of engine failures.

Pure but for the clock that it is given. Only failures of the model count, not a caller's bad input.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from service.settings.groups import RollbackSettings

_CELL_S = 1.0


@dataclass(slots=True)
class _Cell:
    """Counts of one second."""

    start: float
    items: int = 0
    failed: int = 0
    non_finite: int = 0


class Health:
    """Counts one version's outcomes while it is on probation; calls `on_trip` once, with the cause of the rollback."""

    def __init__(self, rules: RollbackSettings, clock: Callable[[], float], on_trip: Callable[[str], None]) -> None:
        self._rules = rules
        self._clock = clock
        self._on_trip = on_trip
        self._until = 0.0
        self._cells: deque[_Cell] = deque()

    def arm(self) -> None:
        """Begin the probation, where rollback is automatic."""
        if self._rules.automatic:
            self._until = self._clock() + self._rules.within_s
            self._cells.clear()

    def disarm(self) -> None:
        """End the probation."""
        self._until = 0.0

    def note(self, *, items: int, failed: int, non_finite: int) -> None:
        """Count the outcomes of one request.

        Args:
            failed: of the items, those that the engine failed on; the non-finite ones among them.
        """
        now = self._clock()
        if now >= self._until:
            return
        if not self._cells or now - self._cells[-1].start >= _CELL_S:
            self._cells.append(_Cell(now))
        cell = self._cells[-1]
        cell.items += items
        cell.failed += failed
        cell.non_finite += non_finite
        while self._cells[0].start <= now - self._rules.window_s:
            self._cells.popleft()
        if failed and (cause := self._cause()):
            self.disarm()
            self._on_trip(cause)

    def _cause(self) -> str | None:
        if sum(cell.non_finite for cell in self._cells) >= self._rules.non_finite:
            return "non_finite"
        items = sum(cell.items for cell in self._cells)
        failed = sum(cell.failed for cell in self._cells)
        return "errors" if items >= self._rules.min_items and failed >= self._rules.error_ratio * items else None
