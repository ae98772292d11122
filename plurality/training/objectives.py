"""The one pairwise loss family. Suffix B: pairs.

    L = −w·[q̃ log σ(Δ − m) + (1 − q̃) log σ(−Δ − m)] + c·(r_a + r_b)²,   Δ = r_a − r_b
    dL/dΔ = w·[(1 − q̃) σ(Δ + m) − q̃ σ(m − Δ)],   dL/d(r_a + r_b) = 2c·(r_a + r_b)

`targets.py` says what q̃, m and w are under each objective. The last term centers the rewards (arXiv 2312.09244, eq. 2);
the ranking terms know differences alone.

Where labels are Bernoulli(p) the optimum is σ(Δ) = p for m = 0, but lies further out for m > 0: the margin loss is no
proper scoring rule, and a model that it trained is to be calibrated before its probabilities are read.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from plurality.training.targets import Objective

__all__ = [
    "PADDING", "Objective", "PairTargets", "batch_losses", "loss_slopes", "pair_losses",
    "reward_diffs", "reward_sums",
]  # fmt: skip

PADDING = -2


class PairTargets(NamedTuple):
    """A batch's targets, each of shape [B]."""

    label_B: Tensor
    """Of the row, whatever the target is made of: for accuracy."""
    target_B: Tensor
    margin_B: Tensor
    weight_B: Tensor
    source_B: Tensor
    """Index of the pair's source; `PADDING` for a repeat that fills a batch and has no part in the loss."""

    @classmethod
    def of(cls, labels_B5: Tensor) -> "PairTargets":
        """From the collator's column order, which is that of the fields."""
        return cls(*labels_B5.unbind(dim=1))

    @property
    def counted(self) -> Tensor:
        """1 for a pair, 0 for padding, shape [B]."""
        return (self.source_B != PADDING).to(self.source_B.dtype)


def pair_losses(reward_diff_B: Tensor, target_B: Tensor, margin_B: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """The loss of each pair, without centering.

    Args:
        reward_diff_B: Δ = r_a − r_b, shape [B].
        target_B: q̃ ∈ [0, 1], P(a preferred), shape [B].
        margin_B: m, shape [B]; negative only under the `signed` policy.
        weight_B: w ≥ 0, shape [B]; 1 where left out.

    Raises:
        ValueError: the shapes differ; [B, 1] against [B] would broadcast and mix every pair with every margin.
    """
    _check_shapes(reward_diff_B, target_B, margin_B, weight_B)
    loss_B = -(
        target_B * F.logsigmoid(reward_diff_B - margin_B) + (1 - target_B) * F.logsigmoid(-reward_diff_B - margin_B)
    )
    return loss_B if weight_B is None else weight_B * loss_B


def loss_slopes(reward_diff_B: Tensor, target_B: Tensor, margin_B: Tensor, weight_B: Tensor | None = None) -> Tensor:
    """dL/dΔ of each pair, in closed form; arguments as of `pair_losses`."""
    _check_shapes(reward_diff_B, target_B, margin_B, weight_B)
    slope_B = (1 - target_B) * torch.sigmoid(reward_diff_B + margin_B) - target_B * torch.sigmoid(
        margin_B - reward_diff_B
    )
    return slope_B if weight_B is None else weight_B * slope_B


def batch_losses(reward_2B: Tensor, targets: PairTargets, *, centering: float = 0.0) -> Tensor:
    """The whole loss of each pair, shape [B], from rewards that come as all a's, then all b's."""
    loss_B = pair_losses(reward_diffs(reward_2B), targets.target_B, targets.margin_B, targets.weight_B)
    return loss_B + centering * reward_sums(reward_2B) ** 2 if centering else loss_B


def reward_diffs(reward_2B: Tensor) -> Tensor:
    """Δ of rows that come as all a's, then all b's: shape [2B] -> [B]."""
    reward_a_B, reward_b_B = torch.chunk(reward_2B, 2)
    return reward_a_B - reward_b_B


def reward_sums(reward_2B: Tensor) -> Tensor:
    """r_a + r_b, what centering keeps near 0: shape [2B] -> [B]."""
    reward_a_B, reward_b_B = torch.chunk(reward_2B, 2)
    return reward_a_B + reward_b_B


def _check_shapes(first: Tensor, *others: Tensor | None) -> None:
    shapes = [other.shape for other in others if other is not None]
    if first.dim() != 1 or any(shape != first.shape for shape in shapes):
        raise ValueError(f"shapes differ: {', '.join(str(list(shape)) for shape in [first.shape, *shapes])}")
