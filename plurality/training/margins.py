"""From judgements to the margin of the loss (arXiv 2412.03822, eq. 3), and what to do where judges reject the label.

    paper      m = |2q − 1|             the paper's, whichever answer the judges prefer
    clamp      m = max(0, 2q_j − 1)     q_j: the share that prefers the labeled answer
    signed     m = 2q_j − 1 ∈ [−1, 1]
    drop       m = |2q − 1|, contradicted pairs are not trained on

The size is the row's own margin, else its votes'; the direction is that of the votes, or of the language model whose
margin it is. A tie as label has no side to agree with: its margin is 0, but for `paper`.
"""

from typing import Literal

from plurality.core.rows import PreferenceRow, Votes
from plurality.training.errors import BadRow, DataError

MarginPolicy = Literal["paper", "clamp", "signed", "drop"]
POLICIES = (
    "m of margin and scaled-bt where judges may reject the label; q_j = share for the labeled answer. paper: |2q - 1|, "
    "as in 2412.03822 eq. 3, pushes hardest where all reject it. clamp: max(0, 2q_j - 1). signed: 2q_j - 1 (margin "
    "only). drop: such pairs are left out."
)
"""The policies as the help of `plurality train` names them."""


def paper_margin(votes: Votes) -> float:
    """m = |Σj − n/2| / (n/2) = |2q − 1| ∈ [0, 1]: 0 where judges split evenly, 1 where they agree.

    Unsigned, as in the paper: it does not say whether the judges agree with the label.
    """
    return abs(2.0 * votes.fraction_a - 1.0)


def row_margins(
    rows: list[PreferenceRow], *, source: str, policy: MarginPolicy = "paper", objective: str = "margin"
) -> list[float]:
    """Each row's own margin, else that of its judges; negative only where the policy is `signed`.

    Raises:
        DataError: rows that have neither; or, for policies other than `paper`, no judges to tell the direction.
    """
    bad = [BadRow(i, cause) for i, row in enumerate(rows, 1) if (cause := _lacks(row, policy))]
    if bad:
        raise DataError(f"{source}: the {objective} objective needs judgements", bad)
    return [_margin(row, policy) for row in rows]


def judged_share(row: PreferenceRow) -> float | None:
    """The share of the row's judges for a: a language model's q where it made the margin or there are no votes."""
    judge = row.judge
    if judge is not None and judge.q is not None and (row.votes is None or row.margin == judge.margin):
        return judge.q
    return row.votes.fraction_a if row.votes else None


def contradicted(row: PreferenceRow) -> bool:
    """The majority of the row's judges is against its label: the paper's margin then pushes the wrong way."""
    share = judged_share(row)
    return share is not None and (share - 0.5) * (row.label - 0.5) < 0


def _lacks(row: PreferenceRow, policy: MarginPolicy) -> str | None:
    if judged_share(row) is not None:
        return None
    if row.margin is None:
        return "neither votes nor margin"
    return None if policy == "paper" else f"no votes: a margin alone has no direction, which {policy} needs"


def _margin(row: PreferenceRow, policy: MarginPolicy) -> float:
    size = row.margin
    if size is None:
        size = paper_margin(row.votes) if row.votes else abs(2.0 * (judged_share(row) or 0.0) - 1.0)
    if policy == "paper":
        return size
    if row.label == 0.5:
        return 0.0
    if contradicted(row) and policy != "drop":
        return -size if policy == "signed" else 0.0
    return size
