"""Keeps the last rewards of one version, as numbers only: appended by every request, read once a period."""

import math
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain import Item, Outcome, Prompt, RawText, Reward, ScoreItem
from service.settings.groups import WatchSettings

Row = tuple[float, float, int]
"""Centered reward, tokens of the response, truncated tokens."""


@dataclass(frozen=True, slots=True)
class WindowSnapshot:
    """A window at one moment."""

    rows: Sequence[Row]
    """The last ones, oldest first."""
    first: Sequence[Row]
    """The version's first full window in this process; empty until there is one."""
    fresh: int
    """How many of `rows`, from their end, came after `first`."""
    spreads: Sequence[float]
    """Of the groups among `rows`, the standard deviation of each. A group: responses to one prompt in one request."""
    noted: int
    """Rewards ever noted."""
    groups: int
    """Groups ever noted."""
    collapsed: int
    """Of these, how many had next to no spread."""


class Window:
    """A bounded window over one version's rewards; a `service.versions.resident.Observer`. Runs on the event loop."""

    def __init__(self, settings: WatchSettings, *, reference_std: float, close: Callable[[], None]) -> None:
        """`close` is called when the version is retired."""
        self.close = close
        self._rows: deque[Row] = deque(maxlen=settings.size)
        self._spreads: deque[tuple[int, float]] = deque(maxlen=settings.size)
        self._first: tuple[Row, ...] = ()
        self._collapsed_below = settings.collapsed_below * reference_std
        self._noted = self._groups = self._collapsed = 0
        self._noted_first = 0

    def note(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Append a request's rewards; items with an error of their own have none."""
        append = self._rows.append
        before = len(self._rows)
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, Reward):
                tokens = (outcome.tokens + outcome.cut_tokens) * _response_share(item)
                append((outcome.value, tokens, outcome.cut_tokens))
                self._noted += 1
        if not self._first and before < len(self._rows) == self._rows.maxlen:
            self._first, self._noted_first = tuple(self._rows), self._noted
        if len(items) > 1:
            self._note_groups(items, outcomes)

    def snapshot(self) -> WindowSnapshot:
        """Copy the window."""
        fresh = min(self._noted - self._noted_first, len(self._rows)) if self._first else 0
        oldest = self._noted - len(self._rows)
        spreads = tuple(spread for at, spread in self._spreads if at > oldest)
        return WindowSnapshot(
            tuple(self._rows), self._first, fresh, spreads, self._noted, self._groups, self._collapsed
        )

    def _note_groups(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        groups: defaultdict[Prompt, list[float]] = defaultdict(list)
        for item, outcome in zip(items, outcomes, strict=True):
            prompt = item.prompt if isinstance(item, ScoreItem | RawText) else None
            if prompt is not None and isinstance(outcome, Reward):
                groups[prompt].append(outcome.value)
        for rewards in groups.values():
            if len(rewards) > 1:
                spread = _sample_std(rewards)
                self._spreads.append((self._noted, spread))
                self._groups += 1
                self._collapsed += spread <= self._collapsed_below


def _response_share(item: Item) -> float:
    """The response's share of an item's characters, and so nearly of its tokens; 1 where the prompt is unknown."""
    if isinstance(item, ScoreItem):
        return len(item.response) / (item.characters or 1)
    if isinstance(item, RawText) and item.prompt is not None:
        return 1.0 - len(item.prompt) / (item.characters or 1)
    return 1.0


def _sample_std(values: Sequence[float]) -> float:
    """With n − 1, as GRPO's advantages divide by."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
