"""Predicts the seconds of one engine call from the cells that a profile measured. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

MIN_GAIN = 0.02
"""A batch must save this share of the time of separate calls: less is noise, and a smaller batch answers sooner."""
_COLUMNS = 512


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured shape: `items` texts of `tokens` tokens each took `seconds`."""

    items: int
    tokens: int
    seconds: float


class CostModel:
    """c(b, L): seconds of an engine call of b texts padded to L tokens. Never falls as b or L grow.

    Linear between measured cells. Beyond the longest measured length time grows as its last slope says. Beyond the
    largest measured batch, and beyond the lengths that a batch size was measured at, a batch costs as much as its
    texts alone: nothing unmeasured looks like a gain.
    """

    def __init__(self, cells: Sequence[Cell], *, max_items: int, max_tokens: int) -> None:
        """Interpolate.

        Args:
            cells: measured shapes; at least one of a single text.
            max_items: largest batch that will be asked for.
            max_tokens: longest text.
        """
        self._step = max(1, math.ceil(max_tokens / _COLUMNS))
        lengths = np.arange(0, max_tokens + self._step, self._step, dtype=np.float64)
        rows = _rows(cells, lengths, max_items)
        rows[2:] *= 1 + MIN_GAIN
        table: Float64 = np.maximum.accumulate(np.maximum.accumulate(rows, axis=1), axis=0)
        self._table: list[list[float]] = table.tolist()
        self.max_useful_batch = _max_useful_batch(table)
        """The largest batch that is faster than its best split at some length: larger ones are never planned."""

        self._by_length = np.ascontiguousarray(table[self.max_useful_batch : 0 : -1].T)

    def seconds(self, items: int, tokens: int) -> float:
        """Predicted time of one call."""
        return self._table[items][self._column(tokens)]

    def costs_by_batch_desc(self, tokens: int) -> Float64:
        """Predicted times of calls of `max_useful_batch`, ..., 2, 1 texts of this length."""
        found: Float64 = self._by_length[self._column(tokens)]
        return found

    def _column(self, tokens: int) -> int:
        return min(-(-tokens // self._step), len(self._by_length) - 1)


def _rows(cells: Sequence[Cell], lengths: Float64, max_items: int) -> Float64:
    """Seconds [max_items + 1, lengths]; row 0 is zero."""
    measured = {1: _line([cell for cell in cells if cell.items == 1], lengths)}
    for size in sorted({cell.items for cell in cells if 1 < cell.items <= max_items}):
        of_size = [cell for cell in cells if cell.items == size]
        unmeasured = lengths > max(cell.tokens for cell in of_size)
        line = _line(of_size, lengths)
        measured[size] = np.where(unmeasured, np.maximum(line, size * measured[1]), line)
    rows = np.zeros((max_items + 1, len(lengths)))
    for items in range(1, max_items + 1):
        below = max(size for size in measured if size <= items)
        above = min((size for size in measured if size >= items), default=below)
        if below == above:
            rows[items] = measured[below] * (items / below)
        else:
            share = (items - below) / (above - below)
            rows[items] = (1 - share) * measured[below] + share * measured[above]
    return rows


def _line(cells: Sequence[Cell], lengths: Float64) -> Float64:
    """Seconds by length of one batch size: linear between the cells, the last slope beyond them."""
    ordered = sorted(cells, key=lambda cell: cell.tokens)
    tokens = np.array([cell.tokens for cell in ordered], dtype=float)
    seconds = np.array([cell.seconds for cell in ordered])
    line = np.interp(lengths, tokens, seconds)
    slope = seconds[-1] / tokens[-1]
    if len(ordered) > 1:
        slope = max(0.0, (seconds[-1] - seconds[-2]) / (tokens[-1] - tokens[-2]))
    beyond: Float64 = np.where(lengths > tokens[-1], seconds[-1] + slope * (lengths - tokens[-1]), line)
    return beyond


def _max_useful_batch(rows: Float64) -> int:
    """The largest b with c(b, L) < min over i of c(i, L) + c(b - i, L) for some L."""
    for items in range(len(rows) - 1, 1, -1):
        split = np.min([rows[i] + rows[items - i] for i in range(1, items // 2 + 1)], axis=0)
        if (rows[items] < split).any():
            return items
    return 1
