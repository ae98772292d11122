"""One training run's settings, frozen. Saved, resolved, in every checkpoint."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.objectives import Objective

Positive = Annotated[float, Field(gt=0)]


class TrainConfig(BaseModel):
    """What `train` needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str
    """Hub id or directory of an encoder or decoder; a reward head is added where it has none."""
    data: Path
    validation: Path | None = None
    output: Path
    objective: Objective = "baseline"
    epochs: Positive = 1.0
    batch_size: int = Field(default=16, ge=1)
    """Pairs per step and device."""
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: Positive = 2e-5
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_length: int | None = Field(default=None, ge=8)
    freeze_layers: int = Field(default=0, ge=0)
    """Embeddings and this many lowest layers keep their weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between resumable checkpoints; by default one an epoch."""
    resume: bool = False
    seed: int = 0
    report_to: str = "none"
    """Where transformers.Trainer reports: none, tensorboard, wandb, ..."""
