"""Reading loaded rows in tests: by which answer won, wherever it stands."""

from plurality.core.rows import PreferenceRow
from plurality.training.loaders import Loaded


def winner(row: PreferenceRow) -> str | None:
    """The preferred answer; None for a tie."""
    return None if row.preference == 0.5 else row.response_a if row.preference > 0.5 else row.response_b


def outcomes(loaded: Loaded) -> list[tuple[frozenset[str], str | None]]:
    """Each row's two answers and the preferred one."""
    return [(frozenset((row.response_a, row.response_b)), winner(row)) for row in loaded.rows]


def said(row: PreferenceRow) -> list[tuple[str, str]]:
    """The context as (role, content)."""
    return [(turn.role, turn.content) for turn in row.messages or ()]


def share(row: PreferenceRow, answer: str) -> float:
    """P(this answer preferred), as the row has it."""
    assert answer in {row.response_a, row.response_b}
    return row.preference if row.response_a == answer else 1 - row.preference


def side(row: PreferenceRow, answer: str) -> str:
    """`a` or `b`: where an answer stands."""
    return "a" if row.response_a == answer else "b"
