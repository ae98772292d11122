"""The pairwise loss family. Suffix B: pairs.

L = −[q log σ(Δ − m) + (1 − q) log σ(−Δ − m)],  Δ = r_a − r_b

    baseline   q = label, m = 0             arXiv 2412.03822 eq. 1 (Bradley-Terry)
    margin     q = label, m = |2·votes − 1|  arXiv 2412.03822 eq. 3 and 4
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from training.margins import row_margins
from training.rows import PreferenceRow

Objective = Literal["baseline", "margin"]


def pairwise_loss(gap_B: Tensor, label_B: Tensor, margin_B: Tensor) -> Tensor:
    """Mean loss of a batch.

    Args:
        gap_B: Δ = r_a − r_b, shape [B].
        label_B: q ∈ [0, 1], P(a preferred), shape [B].
        margin_B: m ≥ 0, shape [B].

    Raises:
        ValueError: the shapes differ; [B, 1] against [B] would broadcast and mix every pair with every margin.
    """
    if not gap_B.shape == label_B.shape == margin_B.shape or gap_B.dim() != 1:
        raise ValueError(f"shapes differ: {list(gap_B.shape)}, {list(label_B.shape)}, {list(margin_B.shape)}")
    loss_B = -(label_B * F.logsigmoid(gap_B - margin_B) + (1 - label_B) * F.logsigmoid(-gap_B - margin_B))
    return loss_B.mean()


def margins_for(objective: Objective, rows: list[PreferenceRow], *, source: str) -> list[float]:
    """m of every row under an objective; raises DataError where the objective needs what a row lacks."""
    return row_margins(rows, source=source) if objective == "margin" else [0.0] * len(rows)


def rewards_to_gap(reward_2B: Tensor) -> Tensor:
    """Δ of rows that come as all a's, then all b's: shape [2B] -> [B]."""
    reward_a_B, reward_b_B = torch.chunk(reward_2B, 2)
    return reward_a_B - reward_b_B
