"""What feeds the reward head. N texts (2B of B pairs), T tokens, D features.

For a linear head r_i = w·z_i + b, so z_i is all that a gradient by w needs: no second backward through the model.
"""

from types import TracebackType
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from plurality.training.errors import TrainingError


def find_head(model: Any) -> nn.Linear:
    """The linear layer that makes the reward: `classifier`, `classifier.out_proj`, `score`, whatever it is called.

    Raises:
        TrainingError: the model does not end in exactly one linear layer with one output.
    """
    body = {id(part) for part in model.base_model.modules()}
    found = [
        part
        for part in model.modules()
        if isinstance(part, nn.Linear)
        and part.out_features == 1
        and id(part) not in body
        and part.weight.requires_grad  # LoRA keeps the head that it started from beside the one that it trains
    ]
    if len(found) != 1:
        raise TrainingError(
            "MORE and bf16 need a reward head that ends in one linear layer with one output; "
            f"{type(model).__name__} has {len(found) or 'none'}"
        )
    return found[0]


def keep_fp32(head: nn.Linear) -> None:
    """Let it compute in fp32 under autocast: bf16 knows rewards near 4 to 1/32, too coarse for their differences."""

    def forward(input_ND: Tensor) -> Tensor:
        with torch.autocast(input_ND.device.type, enabled=False):
            return F.linear(input_ND.float(), head.weight, head.bias)

    head.forward = forward  # type: ignore[method-assign, assignment]


class HeadInputs:
    """Context manager that records the head's inputs and outputs.

    Args:
        detach: the model runs without gradients; what comes out of its head starts a small graph of its own.
    """

    def __init__(self, head: nn.Linear, *, detach: bool) -> None:
        self._head, self._detach = head, detach

    def __enter__(self) -> "HeadInputs":
        self._before = torch.is_grad_enabled()
        torch.set_grad_enabled(self._before and not self._detach)
        self._hook = self._head.register_forward_hook(self._record)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._hook.remove()
        torch.set_grad_enabled(self._before)

    def of(self, logit_N1: Tensor) -> Tensor:
        """z_i of each text, float64, shape [N, D].

        A decoder's head reads every token, and one token's reward is kept: which one, the derivative of the rewards by
        the head's outputs says, however the model pools: z_i = Σ_t ∂r_i/∂o_it · h_it.

        Raises:
            TrainingError: the logits are no linear function of the head's outputs.
        """
        (chosen,) = torch.autograd.grad(logit_N1.sum(), self._output, retain_graph=True)
        count, width = len(logit_N1), self._input.shape[-1]
        chosen_NT = chosen.reshape(count, -1).double()
        output_NT = self._output.detach().reshape(count, -1).double()
        reward_N, rebuilt_N = logit_N1.detach().reshape(-1).double(), (chosen_NT * output_NT).sum(dim=1)
        known_N = reward_N.isfinite()
        if not torch.allclose(rebuilt_N[known_N], reward_N[known_N], rtol=1e-5, atol=1e-7):
            raise TrainingError(
                "MORE needs rewards that are its head's outputs; here something follows the last linear layer"
            )
        input_NTD = self._input.reshape(count, -1, width).double()
        return torch.einsum("nt,ntd->nd", chosen_NT, input_NTD)

    def _record(self, _: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        self._input = arguments[0].detach()
        if not self._detach:
            self._output = output
            return None
        torch.set_grad_enabled(True)
        self._output = output.detach().requires_grad_()
        return self._output
