"""What a run says of its held-out pairs: loss, accuracy and calibration, of all and by source. B pairs of all batches.

Computed from the rewards of all pairs at once: a mean over batches would count a short last batch like a full one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plurality.stats import ece, nll
from plurality.training.objectives import PairTargets, batch_losses

Array = NDArray[np.float64]


def validation_metrics(sources: Sequence[str], *, centering: float = 0.0) -> Callable[[Any], dict[str, float]]:
    """What transformers.Trainer calls with the rewards [B, 2] and the collator's columns.

    Args:
        sources: names by the source column; with two or more among the pairs, each figure comes by source too.
        centering: c of the loss.
    """

    def compute(prediction: Any) -> dict[str, float]:
        reward_B2 = torch.as_tensor(np.asarray(prediction.predictions), dtype=torch.float64)
        targets = PairTargets.of(torch.as_tensor(np.asarray(prediction.label_ids), dtype=torch.float64))
        loss_B = batch_losses(reward_B2.T.reshape(-1), targets, centering=centering).numpy()
        reward_diff_B, label_B = (reward_B2[:, 0] - reward_B2[:, 1]).numpy(), targets.label_B.numpy()
        source_B = targets.source_B.long().numpy()
        found = _figures(loss_B, reward_diff_B, label_B)
        present = [place for place in range(len(sources)) if (source_B == place).any()]
        for place in present if len(present) > 1 else []:
            own = source_B == place
            figures = _figures(loss_B[own], reward_diff_B[own], label_B[own])
            found |= {f"{name}/{sources[place]}": value for name, value in figures.items()}
        return found

    return compute


def _figures(loss_B: Array, reward_diff_B: Array, label_B: Array) -> dict[str, float]:
    """Loss, ECE and NLL of σ(Δ); accuracy and mean Δ towards the label where a label is decided.

    A tie of the model is half right.
    """
    decided = label_B != 0.5
    towards = np.sign(label_B - 0.5)[decided] * reward_diff_B[decided]
    probability_B = torch.sigmoid(torch.from_numpy(reward_diff_B)).numpy()
    found = {"loss": float(np.mean(loss_B)), "ece": ece(probability_B, label_B), "nll": nll(probability_B, label_B)}
    if decided.any():
        found["accuracy"] = float(np.mean((towards > 0) + 0.5 * (towards == 0)))
        found["reward_gap"] = float(np.mean(towards))
    return found
