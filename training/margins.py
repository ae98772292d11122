"""From judgements to the margin of the loss (arXiv 2412.03822, eq. 3)."""

from training.errors import BadRow, DataError
from training.rows import PreferenceRow, Votes


def paper_margin(votes: Votes) -> float:
    """m = |Σj − n/2| / (n/2) = |2q − 1| ∈ [0, 1]: 0 where judges split evenly, 1 where they agree.

    Unsigned, as in the paper: it does not say whether the judges agree with the label.
    """
    return abs(2.0 * votes.fraction_a - 1.0)


def row_margins(rows: list[PreferenceRow], *, source: str) -> list[float]:
    """Each row's own margin, else the one of its votes.

    Raises:
        DataError: rows that have neither.
    """
    bad = [BadRow(i, "neither votes nor margin") for i, row in enumerate(rows, 1) if _margin(row) is None]
    if bad:
        raise DataError(f"{source}: the margin objective needs judgements", bad)
    return [margin for row in rows if (margin := _margin(row)) is not None]


def contradiction_rate(rows: list[PreferenceRow]) -> float:
    """Share of rows with votes whose majority is against the label: there the unsigned margin pushes hardest wrong."""
    judged = [row for row in rows if row.votes]
    against = sum((row.preference - 0.5) * (row.label - 0.5) < 0 for row in judged)
    return against / len(judged) if judged else 0.0


def _margin(row: PreferenceRow) -> float | None:
    if row.margin is not None:
        return row.margin
    return paper_margin(row.votes) if row.votes else None
