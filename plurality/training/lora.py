"""Low-rank adapters (LoRA, arXiv 2106.09685) on the body of a reward model; its head is trained in full.

    W + (α/r)·B·A,   A of shape [r, in], random;  B of shape [out, r], zero: the first step starts where the model is

What is saved in the end is W with the product added: a plain checkpoint. The run's own checkpoints hold the adapters.
"""

from collections.abc import Sequence
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from plurality.training.errors import TrainingError

ALL_LINEAR = "all-linear"


def add_lora(
    model: Any, *, rank: int, alpha: float, dropout: float, targets: str = ALL_LINEAR, new_weights: Sequence[str] = ()
) -> Any:
    """The model with adapters on the body's linear layers whose weights are not frozen.

    Args:
        model: a sequence classifier; frozen layers (`freeze_lowest`) get no adapters.
        rank: r.
        alpha: α.
        dropout: of what goes into A.
        targets: `all-linear`, or last parts of layers' names with commas between: `q_proj,v_proj`.
        new_weights: names of weights that start at random: their layers are trained in full, as the head's are.

    Raises:
        TrainingError: a target that no layer of the body has.
    """
    started = {name.rpartition(".")[0] for name in new_weights}
    linear = [
        name
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear) and _in_body(model, name) and part.weight.requires_grad and name not in started
    ]
    chosen = linear if targets == ALL_LINEAR else _named(linear, [name.strip() for name in targets.split(",")])
    if not chosen:
        raise TrainingError("LoRA has no layer to train: all of the body's linear layers are frozen")
    beside = (name for name, part in model.named_children() if part is not model.base_model)
    head = [name for name in beside if next(getattr(model, name).parameters(), None) is not None]
    in_full = head + sorted(name for name in started if _in_body(model, name))
    adapters = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen, modules_to_save=in_full or None
    )
    return get_peft_model(model, adapters)


def plain(model: Any) -> Any:
    """The sequence classifier itself, adapters and all; any other model as it is."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def merged(model: Any) -> Any:
    """A model without adapters that computes the same; any other model as it is. The one given is used up."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


def _in_body(model: Any, name: str) -> bool:
    return name.startswith(f"{model.base_model_prefix}.")


def _named(linear: Sequence[str], wanted: Sequence[str]) -> list[str]:
    names = {name.rpartition(".")[2] for name in linear}
    if unknown := [name for name in wanted if name not in names]:
        raise TrainingError(
            f"no layer that LoRA could be put on is called {', '.join(unknown)}; there are {', '.join(sorted(names))}"
        )
    return [name for name in linear if name.rpartition(".")[2] in wanted]
