"""Folds over whole groups (debates, prompts): what is held out was never seen in any form."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from plurality.core.rows import PreferenceRow
from research.preferences.votes import chance

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Parts:
    """One fold held out, the next one to validate and to calibrate on, the rest to train on."""

    train: list[PreferenceRow]
    validation: list[PreferenceRow]
    test: list[PreferenceRow]


def fold_of(groups: Sequence[Hashable], *, folds: int = FOLDS, seed: int = 0) -> dict[Hashable, int]:
    """A fold for each group, sizes as equal as can be."""
    order = sorted(set(groups), key=lambda group: chance(seed, f"fold:{group}"))
    return {group: place % folds for place, group in enumerate(order)}


def parts(rows: Sequence[PreferenceRow], group: Mapping[str, str], fold: int, *, folds: int = FOLDS) -> Parts:
    """Rows by part. All rows of a group are in one part.

    Args:
        group: row id -> group.
        fold: the one held out.
    """
    place = fold_of([group[row.id] for row in rows], folds=folds)
    where = [(place[group[row.id]] - fold) % folds for row in rows]
    return Parts(
        train=[row for row, at in zip(rows, where, strict=True) if at > 1],
        validation=[row for row, at in zip(rows, where, strict=True) if at == 1],
        test=[row for row, at in zip(rows, where, strict=True) if at == 0],
    )
