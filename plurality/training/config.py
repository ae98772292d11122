"""One training run's settings, frozen. Saved, resolved, in every checkpoint."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from plurality.training.errors import TrainingError, first_problem
from plurality.training.margins import POLICIES, MarginPolicy
from plurality.training.targets import WITH_MARGIN, Objective, ObjectiveSpec

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
    """The settings of one training run. The fields are the options of `plurality train`, their docstrings its help."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    data: Path
    """Preference pairs, .jsonl or .parquet."""
    output: Path
    """Where the checkpoint goes."""
    model: str
    """Hub id or directory of an encoder or decoder."""
    validation: Path | None = None
    """Held-out pairs, evaluated every epoch."""
    objective: Annotated[
        Objective, BeforeValidator(_bt_is_baseline, json_schema_input_type=Literal["bt", Objective])
    ] = "baseline"
    """Δ = r_a - r_b, q = share of votes, m = |2q - 1|, written for label a. baseline (or bt): -log σ(Δ), Bradley-Terry.
    margin: -log σ(Δ - m), 2412.03822 eq. 4. soft: -q log σ(Δ) - (1 - q) log σ(-Δ). mix: soft, of
    (1 - α)·label + α·q. scaled-bt: -m log σ(Δ), 2410.01257."""
    margin_policy: MarginPolicy = Field(default="paper", description=POLICIES)
    mix_alpha: float = Field(default=0.5, ge=0, le=1)
    """α of mix: 0 is the label alone, 1 the votes alone."""
    centering: float = Field(default=0.0, ge=0)
    """c of + c·(r_a + r_b)², keeps rewards around 0 (2312.09244 eq. 2, about 0.01)."""
    more: bool = False
    """Weigh sources: Σ λ_k L_k, λ the least ‖Σ λ_k g_k‖² over head gradients g_k, new each step (2312.07401 eq. 7, App.
    B). Steps hold as many pairs of each `source`; λ goes to the log and to OUTPUT/more.png."""
    more_floor: float = Field(default=0.0, ge=0, le=1)
    """ε of λ <- (1 - ε)λ + ε/K: a source that is learned takes not all weight."""
    epochs: Positive = 1.0
    """Passes over the data."""
    batch_size: int = Field(default=16, ge=1)
    """Pairs a batch and process."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Batches a step: the loss is the mean of all their pairs."""
    learning_rate: Positive = 2e-5
    """Peak learning rate."""
    warmup_ratio: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps that warm up."""
    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens an item (default: what the model can)."""
    freeze_layers: int = Field(default=0, ge=0)
    """Keep embeddings and this many lowest layers as they are."""
    lora_rank: int = Field(default=0, ge=0)
    """LoRA: train W + (α/r)·BA with B, A of this rank r (0: W itself). Saved merged."""
    lora_alpha: Positive = 16.0
    """α of LoRA."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before A."""
    lora_targets: str = "all-linear"
    """Layers with LoRA: all-linear, or names: q_proj,v_proj. The head is trained in full."""
    gradient_checkpointing: bool = False
    """Less memory, a third more work, the same gradients."""
    precision: Annotated[
        Literal["fp32", "bf16"], BeforeValidator(_no_fp16, json_schema_input_type=Literal["fp32", "bf16", "fp16"])
    ] = "fp32"
    """bf16: autocast; weights, head and loss stay fp32. fp16 is refused."""
    save_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints (default: an epoch)."""
    resume: bool = False
    """Go on from the newest checkpoint in --output."""
    seed: int = 0
    """Weights of a new head, order of the pairs."""
    report_to: str = "none"
    """none, tensorboard, wandb, ..."""

    @model_validator(mode="after")
    def _has_effect(self) -> "TrainConfig":
        """A setting that would do nothing is a mistake; a negative weight would reward being wrong without limit."""
        if self.margin_policy != "paper" and self.objective not in WITH_MARGIN:
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
    def spec(self) -> ObjectiveSpec:
        """How rows become targets."""
        return ObjectiveSpec(self.objective, self.margin_policy, self.mix_alpha)

    @property
    def objective_name(self) -> str:
        """What checkpoint and manifest call it."""
        return self.spec.name(more=self.more, centering=self.centering > 0)


def checked_config(**settings: Any) -> TrainConfig:
    """A configuration from what a person typed.

    Raises:
        TrainingError: the first setting that cannot be, by its name.
    """
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        raise TrainingError(first_problem(error)) from None
