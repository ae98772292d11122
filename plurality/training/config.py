"""One training run's settings, frozen. Saved, resolved, in every checkpoint."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from plurality.training.errors import TrainingError
from plurality.training.margins import MarginPolicy
from plurality.training.targets import WITH_MARGIN, Objective, Recipe

Positive = Annotated[float, Field(gt=0)]


def _bt_is_baseline(value: Any) -> Any:
    return "baseline" if value == "bt" else value


def _no_fp16(value: Any) -> Any:
    if value == "fp16":
        raise ValueError(
            "fp16 is not offered: its numbers end at 65504, DeBERTa's attention scores went beyond and became NaN "
            "(microsoft/DeBERTa#77), and small gradients vanish; use bf16, which has the range of fp32, or fp32"
        )
    return value


class TrainConfig(BaseModel):
    """What `train` needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str
    """Hub id or directory of an encoder or decoder; a reward head is added where it has none."""
    data: Path
    validation: Path | None = None
    output: Path
    objective: Annotated[Objective, BeforeValidator(_bt_is_baseline)] = "baseline"
    """The loss, see `targets.py`; `bt` is another name of `baseline`."""
    margin_policy: MarginPolicy = "unsigned"
    """Of margin and scaled-bt: what to do where the judges reject the label, see `margins.py`."""
    mix_alpha: float = Field(default=0.5, ge=0, le=1)
    """α of mix: 0 is the label alone, 1 the votes alone."""
    centering: float = Field(default=0.0, ge=0)
    """c of + c·(r_a + r_b)² (arXiv 2312.09244, eq. 2, which uses about 0.01); 0 leaves it out."""
    more: bool = False
    """Weigh the sources anew each step so that their head gradients agree best (arXiv 2312.07401, eq. 7)."""
    more_floor: float = Field(default=0.0, ge=0, le=1)
    """ε of λ ← (1 − ε)λ + ε/K; the paper has none, and a source that is learned then takes all the weight."""
    epochs: Positive = 1.0
    batch_size: int = Field(default=16, ge=1)
    """Pairs of a micro-batch on each process."""
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: Positive = 2e-5
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_length: int | None = Field(default=None, ge=8)
    freeze_layers: int = Field(default=0, ge=0)
    """Embeddings and this many lowest layers keep their weights."""
    lora_rank: int = Field(default=0, ge=0)
    """r of LoRA (arXiv 2106.09685): W + (α/r)·BA on the linear layers, B and A alone are trained; 0 trains W itself."""
    lora_alpha: Positive = 16.0
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    lora_targets: str = "all-linear"
    """Last parts of the names of the layers that get LoRA, with commas between; the head is always trained in full."""
    gradient_checkpointing: bool = False
    """Compute a layer's activations again on the way back instead of keeping them."""
    precision: Annotated[Literal["fp32", "bf16"], BeforeValidator(_no_fp16)] = "fp32"
    """fp32, or bf16 autocast with weights, head, differences and losses in fp32."""
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between resumable checkpoints; by default one an epoch."""
    resume: bool = False
    seed: int = 0
    report_to: str = "none"
    """Where transformers.Trainer reports, with commas between: none, tensorboard, wandb, ..."""

    @model_validator(mode="after")
    def _has_effect(self) -> "TrainConfig":
        """A setting that would do nothing is a mistake; a negative weight would reward being wrong without limit."""
        if self.margin_policy != "unsigned" and self.objective not in WITH_MARGIN:
            raise ValueError(f"margin_policy has no effect on {self.objective}: only on {' and '.join(WITH_MARGIN)}")
        if self.margin_policy == "signed" and self.objective == "scaled-bt":
            raise ValueError("scaled-bt has no signed policy: its loss would have no minimum; use clamp or drop")
        if self.mix_alpha != 0.5 and self.objective != "mix":
            raise ValueError(f"mix_alpha has no effect on {self.objective}: only on mix")
        if self.more_floor and not self.more:
            raise ValueError("more_floor has no effect without more")
        if not self.lora_rank:
            self._no_lora()
        return self

    def _no_lora(self) -> None:
        for name in ("lora_alpha", "lora_dropout", "lora_targets"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect without lora_rank")

    @property
    def recipe(self) -> Recipe:
        """How rows become targets."""
        return Recipe(self.objective, self.margin_policy, self.mix_alpha)

    @property
    def objective_name(self) -> str:
        """What checkpoint and manifest call it."""
        return self.recipe.name(more=self.more, centering=self.centering > 0)


def checked_config(**settings: Any) -> TrainConfig:
    """A configuration from what a person typed.

    Raises:
        TrainingError: the first setting that cannot be, by its name.
    """
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise TrainingError(f"{place}: {message}" if place else message) from None
