"""Layers that keep their weights."""

from collections.abc import Sequence
from typing import Any

from plurality.training.errors import TrainingError


def freeze_lowest(model: Any, layers: int) -> None:
    """Keep embeddings and the lowest layers as they are.

    Raises:
        TrainingError: the model does not have that many layers, or none that we can find.
    """
    if layers == 0:
        return
    base = model.base_model
    encoder = getattr(base, "encoder", base)
    stack: Sequence[Any] | None = getattr(encoder, "layer", None) or getattr(base, "layers", None)
    if stack is None or layers > len(stack):
        have = "none that can be found" if stack is None else str(len(stack))
        raise TrainingError(f"cannot freeze {layers} layers: the model has {have}")
    frozen = [base.get_input_embeddings(), *stack[:layers]]
    if hasattr(base, "embeddings"):
        frozen.append(base.embeddings)
    # DeBERTa's relative positions and their norm: every layer reads them, the frozen ones too.
    frozen += [getattr(encoder, name) for name in ("rel_embeddings", "LayerNorm") if hasattr(encoder, name)]
    for part in frozen:
        part.requires_grad_(False)
