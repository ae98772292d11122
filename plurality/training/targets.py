"""What each row contributes to the loss family of `objectives.py`: its target q̃, margin m and weight w.

objective   q̃                   m          w     from
baseline    label               0          1     Bradley-Terry, arXiv 2412.03822 eq. 1; `bt` is the same
margin      label               by policy  1     arXiv 2412.03822 eq. 3 and 4
soft        q, share of votes   0          1     cross entropy with soft labels: its optimum is σ(Δ) = q
mix         (1−α)·label + α·q   0          1     between the two
scaled-bt   label               0          m     HelpSteer2-Preference, arXiv 2410.01257
"""

from dataclasses import dataclass
from typing import Literal

from plurality.core.rows import PreferenceRow
from plurality.training.errors import BadRow, DataError
from plurality.training.margins import MarginPolicy, contradicted, judged_share, row_margins

Objective = Literal["baseline", "margin", "soft", "mix", "scaled-bt"]
WITH_MARGIN = ("margin", "scaled-bt")
"""Objectives that a margin policy changes."""


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """How rows become targets."""

    objective: Objective = "baseline"
    margin_policy: MarginPolicy = "paper"
    mix_alpha: float = 0.5

    def name(self, *, more: bool = False, centering: bool = False) -> str:
        """As manifests have it: baseline, margin, margin-clamp, more+bt, soft+centered, ..."""
        plain = self == ObjectiveSpec() and not more and not centering
        base = "bt" if self.objective == "baseline" and not plain else self.objective
        policy = f"-{self.margin_policy}" if self.margin_policy != "paper" else ""
        return f"{'more+' if more else ''}{base}{policy}{'+centered' if centering else ''}"


@dataclass(frozen=True, slots=True)
class Target:
    """One pair's part of the loss."""

    target: float
    """q̃ ∈ [0, 1], towards a."""
    margin: float = 0.0
    weight: float = 1.0
    keep: bool = True
    """False: not to be trained on; its weight is then 0."""


def targets_for(spec: ObjectiveSpec, rows: list[PreferenceRow], *, source: str) -> list[Target]:
    """One target a row.

    Raises:
        DataError: rows without what the objective needs: votes or a margin, or a share of votes.
    """
    if spec.objective in WITH_MARGIN:
        return _with_margins(spec, rows, source)
    if spec.objective == "baseline":
        return [Target(row.label) for row in rows]
    alpha = 1.0 if spec.objective == "soft" else spec.mix_alpha
    shares = _shares(spec.objective, rows, source)
    return [Target((1 - alpha) * row.label + alpha * share) for row, share in zip(rows, shares, strict=True)]


def _with_margins(spec: ObjectiveSpec, rows: list[PreferenceRow], source: str) -> list[Target]:
    margins = row_margins(rows, source=source, policy=spec.margin_policy, objective=spec.objective)
    targets = []
    for row, margin in zip(rows, margins, strict=True):
        if spec.margin_policy == "drop" and contradicted(row):
            targets.append(Target(row.label, weight=0.0, keep=False))
        elif spec.objective == "margin":
            targets.append(Target(row.label, margin=margin))
        else:
            targets.append(Target(row.label, weight=margin))
    return targets


def _shares(objective: str, rows: list[PreferenceRow], source: str) -> list[float]:
    """The share of votes for a, else a language model's; a label that is a fraction is one already."""
    bad = [
        BadRow(i, "no votes, and its label is a single choice")
        for i, row in enumerate(rows, 1)
        if judged_share(row) is None and row.label in {0.0, 1.0}
    ]
    if bad:
        raise DataError(f"{source}: the {objective} objective needs shares of votes", bad)
    return [row.soft_label for row in rows]
