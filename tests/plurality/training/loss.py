"""The loss of a batch, as the tests of objectives ask for it."""

import torch

from plurality.training.objectives import pair_losses


def mean_loss(*tensors: torch.Tensor) -> torch.Tensor:
    """The mean of `pair_losses`; a pair of weight 0 counts in the mean (arXiv 2410.01257)."""
    return pair_losses(*tensors).mean()
