"""What can go wrong in training, with the cure in the message.

PluralityError
├── DataError        rows that cannot be used, each with its line and cause
└── TrainingError    a setting or a state that training cannot start from
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from plurality.core.errors import PluralityError

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be used."""

    line: int
    """1-based line of a JSONL file, or row of a Parquet file."""
    cause: str


class DataError(PluralityError):
    """The file has rows that cannot be used. `rows` holds all of them, the message the first ones."""

    code = "data_error"

    def __init__(self, source: str, rows: Sequence[BadRow]) -> None:
        lines = [f"  line {row.line}: {row.cause}" for row in rows[:_SHOWN]]
        if len(rows) > _SHOWN:
            lines.append(f"  ... and {len(rows) - _SHOWN} more")
        super().__init__("\n".join([f"{source}: {len(rows)} row(s) cannot be used", *lines]))
        self.rows = tuple(rows)


class TrainingError(PluralityError):
    """Training cannot start or go on like this."""

    code = "training_error"


def first_problem(error: ValidationError) -> str:
    """The first setting that cannot be, by its name, and why."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
