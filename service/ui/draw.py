"""Where the marks of the drawings go. Pure; the templates write them as SVG."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from service.bundle.manifest import CurveBin
from service.experiments.report import Difference

SIDE = 200.0
"""Of the reliability diagram's square, in its own units."""
LEFT, TOP = 44.0, 10.0
_LARGEST_DOT = 7.0
REACH = 140.0
"""From an interval's zero line to either end of its axis."""
MIDDLE = 160.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a curve."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Span:
    """An interval around a zero line."""

    low: float
    high: float
    estimate: float
    limit: float
    """What the ends of the axis stand for."""


def dots(curve: Sequence[CurveBin]) -> list[Dot]:
    """A reliability curve; a dot's area is its bin's share of the pairs."""
    most = max((entry.count for entry in curve), default=1)
    return [
        Dot(
            round(LEFT + SIDE * entry.probability, 1),
            round(TOP + SIDE * (1 - entry.share), 1),
            round(max(2.0, _LARGEST_DOT * math.sqrt(entry.count / most)), 1),
        )
        for entry in curve
    ]


def line(marks: Sequence[Dot]) -> str:
    """The `points` of a polyline."""
    return " ".join(f"{mark.x},{mark.y}" for mark in marks)


def span(difference: Difference) -> Span:
    """A difference on an axis that both of its ends fit on, with zero in the middle."""
    limit = _round_up(max(abs(difference.low), abs(difference.high)))

    def place(value: float) -> float:
        return round(MIDDLE + REACH * value / limit, 1)

    return Span(place(difference.low), place(difference.high), place(difference.estimate), limit)


def _round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten."""
    if not value >= sys.float_info.min:  # the power of ten below a smaller one may be 0
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9)):.6g}")
