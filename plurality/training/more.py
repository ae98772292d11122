"""MORE: weights of the sources that make the head's gradients agree (arXiv 2312.07401, eq. 7 and App. B).

    L = Σ λ_k L_k,   λ = argmin over the simplex of ‖Σ λ_k g_k‖²,   g_k = ∂L_k/∂(head's weight)

For a linear head the gradient is a closed form of what feeds it, over *all* pairs of an optimizer step:
g_k = mean over the pairs of source k of  dL/dΔ·(z_a − z_b) + 2c·(r_a + r_b)·(z_a + z_b).
The head's bias has no part in it, as in the paper: it cancels in Δ.

Consequences worth knowing: orthogonal gradients give λ_k ∝ 1/‖g_k‖², so sources that pull hard weigh little; a source
that is learned (g_k → 0) takes all the weight, against which there is the floor; and ‖Σ λ_k g_k‖ ≤ min ‖g_k‖, so
rewards stay smaller than under plain mixing, which alone changes calibration: compare with a calibrated plain model.

B pairs of a micro-batch, K sources, D features of the head's input.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from plurality.training.errors import TrainingError
from plurality.training.head import HeadInputs
from plurality.training.objectives import PairTargets, batch_losses, loss_slopes, reward_diffs, reward_sums
from plurality.training.simplex import min_norm_weights, with_floor

LOG_PREFIX = "more/"
LAMBDA, LOSS, GAP, NORM = f"{LOG_PREFIX}lambda/", f"{LOG_PREFIX}loss/", f"{LOG_PREFIX}gap", f"{LOG_PREFIX}norm"


def head_gradient_sums(
    feature_2BD: Tensor, reward_2B: Tensor, targets: PairTargets, sources: int, *, centering: float = 0.0
) -> Tensor:
    """Σ over the pairs of each source of the loss's gradient by the head's weight, float64, shape [K, D].

    Args:
        feature_2BD: what feeds the head, of all a's, then all b's.
        reward_2B: the rewards that it made of them.
        targets: of the B pairs.
        sources: K.
        centering: c.
    """
    reward_2B = reward_2B.double()
    feature_a_BD, feature_b_BD = feature_2BD.double().chunk(2)
    parts = [part.double() for part in (targets.target_B, targets.margin_B, targets.weight_B)]
    slope_B = loss_slopes(reward_diffs(reward_2B), *parts)
    gradient_BD = slope_B[:, None] * (feature_a_BD - feature_b_BD)
    if centering:
        gradient_BD += 2 * centering * reward_sums(reward_2B)[:, None] * (feature_a_BD + feature_b_BD)
    sum_KD = gradient_BD.new_zeros(sources, feature_2BD.shape[1])
    return sum_KD.index_add_(0, targets.source_B.long(), gradient_BD)


class More:
    """One optimizer step after another: `begin`, `observe` each micro-batch, `solve`, then `share` of each pair."""

    def __init__(self, head: nn.Linear, sources: Sequence[str], *, floor: float = 0.0, centering: float = 0.0) -> None:
        self.head, self.sources, self.floor, self.centering = head, tuple(sources), floor, centering
        self.begin()

    def begin(self) -> None:
        """A new optimizer step: nothing is known of it."""
        self.solved = False
        self.entry: dict[str, float] = {}
        """What `solve` found, for the log."""
        self._gradient_KD = torch.zeros(len(self.sources), self.head.in_features, dtype=torch.float64)
        self._share_K = torch.zeros(len(self.sources), dtype=torch.float64)
        self._loss_K = torch.zeros(len(self.sources), dtype=torch.float64)
        self._count_K = torch.zeros(len(self.sources), dtype=torch.float64)

    def observe(self, inputs: HeadInputs, logit_2B1: Tensor, targets: PairTargets) -> None:
        """Add a micro-batch's gradients, losses and counts."""
        feature_2BD, reward_2B = inputs.of(logit_2B1), logit_2B1.detach().squeeze(-1).float()
        count = len(self.sources)
        sum_KD = head_gradient_sums(feature_2BD, reward_2B, targets, count, centering=self.centering)
        self._gradient_KD += sum_KD.cpu()
        source_B = targets.source_B.long().cpu()
        loss_B = batch_losses(reward_2B, targets, centering=self.centering).double().cpu()
        self._loss_K.index_add_(0, source_B, loss_B)
        self._count_K += torch.bincount(source_B, minlength=count)

    def solve(self, total: Callable[[Tensor], Tensor] = lambda own: own) -> None:
        """λ of the step from all that was observed.

        Args:
            total: sums a tensor over all processes that share the step.

        Raises:
            TrainingError: the gradients are not finite: training has diverged.
        """
        self._gradient_KD, self._loss_K, self._count_K = map(total, (self._gradient_KD, self._loss_K, self._count_K))
        mean_KD = self._gradient_KD / self._count_K[:, None]
        if not bool(torch.isfinite(mean_KD).all()):
            raise TrainingError("the head's gradients are not finite: training has diverged, lower the learning rate")
        found = min_norm_weights(mean_KD.numpy())
        weight_K = with_floor(found.weight_K, self.floor)
        self._share_K, self.solved = torch.from_numpy(weight_K) / self._count_K, True
        loss_K = (self._loss_K / self._count_K).tolist()
        self.entry = {GAP: found.gap, NORM: math.hypot(*(weight_K @ mean_KD.numpy()))}
        self.entry |= {LAMBDA + name: float(weight) for name, weight in zip(self.sources, weight_K, strict=True)}
        self.entry |= {LOSS + name: loss for name, loss in zip(self.sources, loss_K, strict=True)}

    def share(self, source_B: Tensor) -> Tensor:
        """λ_k/n_k of each pair's source, shape [B], n_k counted over the whole step: Σ share·loss is Σ λ_k L_k."""
        return self._share_K.to(source_B.device, torch.float32)[source_B.long()]
