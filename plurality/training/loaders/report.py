"""What a file of canonical rows holds, in figures: duplicates, balance, votes, lengths. No text is ever shown."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from plurality.core.rows import PreferenceRow
from plurality.training.split import deduplicate, turns

CONTESTED = 0.25
"""A pair is contested where the vote fraction lies within this of one half."""


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file."""

    rows: int
    prompts: int
    duplicates: int
    """Rows that repeat the pair of another row, swapped or not."""
    contradictions: int
    """Pairs whose rows prefer different answers."""
    same_answers: int
    empty_answers: int
    a_preferred: float
    """Share of rows that prefer a, among those that decide; 0.5 where position says nothing."""
    ties: int
    soft_labels: int
    with_votes: int
    votes_a_row: float | None
    unanimous: float | None
    """Share of rows with votes where all votes agree."""
    contested: float | None
    longer_preferred: float | None
    """Share of decided rows whose preferred answer has more characters: what length alone would score."""
    prompt_characters: dict[str, int]
    answer_characters: dict[str, int]
    sources: dict[str, int]


def describe(rows: Sequence[PreferenceRow]) -> FileReport:
    """The figures of one file."""
    unique = deduplicate(rows)
    decided = [row for row in rows if row.preference != 0.5]
    voted = [row.votes for row in rows if row.votes]
    return FileReport(
        rows=len(rows),
        prompts=len({row.prompt_key for row in rows}),
        duplicates=unique.merged,
        contradictions=unique.contradicted,
        same_answers=sum(row.response_a.strip() == row.response_b.strip() for row in rows),
        empty_answers=sum(not text.strip() for row in rows for text in (row.response_a, row.response_b)),
        a_preferred=_share([row.preference > 0.5 for row in decided]) or 0.0,
        ties=len(rows) - len(decided),
        soft_labels=sum(row.label not in {0.0, 0.5, 1.0} for row in rows),
        with_votes=len(voted),
        votes_a_row=statistics.fmean(votes.total for votes in voted) if voted else None,
        unanimous=_share([max(votes.a, votes.b, votes.tie) == votes.total for votes in voted]),
        contested=_share([abs(votes.fraction_a - 0.5) <= CONTESTED for votes in voted]),
        longer_preferred=_share(_longer(decided)),
        prompt_characters=_quantiles([sum(len(turn.content) for turn in turns(row)) for row in rows]),
        answer_characters=_quantiles([len(text) for row in rows for text in (row.response_a, row.response_b)]),
        sources=dict(Counter(row.source for row in rows).most_common(20)),
    )


def _longer(decided: Sequence[PreferenceRow]) -> list[bool]:
    lengths = [(len(row.response_a), len(row.response_b), row.preference) for row in decided]
    return [(a > b) == (p > 0.5) for a, b, p in lengths if a != b]


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


def _quantiles(lengths: list[int]) -> dict[str, int]:
    ordered = sorted(lengths)
    places = {"median": 0.5, "p95": 0.95, "longest": 1.0}
    return {name: ordered[min(int(place * len(ordered)), len(ordered) - 1)] for name, place in places.items()}
