"""From several voters to what one person would have said, and what all the others say."""

import hashlib
from collections.abc import Iterable

from plurality.core.rows import PreferenceRow, Votes


def chance(seed: int, identity: str) -> float:
    """A number in [0, 1) that depends on seed and id alone, whatever else is in the file."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{identity}".encode()).digest()[:8], "big") / 2**64


def one_voter(row: PreferenceRow, seed: int) -> PreferenceRow | None:
    """The row with one decided voter's choice as its label and the OTHER voters' votes; None where it cannot be.

    Margin and share thus never hold the label itself. A voter who said "equal" gives no label, but stays among the
    others, where the vote counts one half.
    """
    votes = row.votes
    if votes is None or votes.a + votes.b == 0 or votes.total < 2:
        return None
    for_a = chance(seed, row.id) < votes.a / (votes.a + votes.b)
    others = Votes(a=votes.a - for_a, b=votes.b - (not for_a), tie=votes.tie)
    return row.model_copy(update={"label": float(for_a), "votes": others, "margin": None})


def majority_label(row: PreferenceRow) -> PreferenceRow:
    """The row with the majority of its votes as its label: the information of a share, cut to one bit."""
    share = row.preference
    return row.model_copy(update={"label": 0.5 if share == 0.5 else float(share > 0.5)})


def with_one_voter(rows: Iterable[PreferenceRow], seed: int) -> list[PreferenceRow]:
    """All rows that can have one voter's label."""
    return [drawn for row in rows if (drawn := one_voter(row, seed)) is not None]


def sample(rows: list[PreferenceRow], count: int, seed: int) -> list[PreferenceRow]:
    """`count` rows, chosen by a hash of seed and id, in their order: a larger sample holds the smaller one."""
    chosen = {row.id for row in sorted(rows, key=lambda row: chance(seed, f"sample:{row.id}"))[:count]}
    return [row for row in rows if row.id in chosen]
