"""transformers.Trainer with the pairwise loss. Everything else (resume, devices, logging) is the library's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from training.config import TrainConfig
from training.dataset import Collator, PairDataset
from training.errors import TrainingError
from training.objectives import pairwise_loss, rewards_to_gap

CHECKPOINTS = "checkpoints"


class EpochSampler(LengthGroupedSampler):  # type: ignore[misc]
    """An order that depends on seed and epoch alone: a resumed run does not see the first epoch's order again."""

    def __init__(self, batch_size: int, *, lengths: list[int], seed: int) -> None:
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Called by accelerate at the start of every epoch, the resumed one included."""
        self.generator.manual_seed(self.seed + epoch)


class PairTrainer(Trainer):  # type: ignore[misc]
    """Trains a sequence classifier with one label on pairs."""

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, **_: Any) -> Any:
        labels_B2 = inputs.pop("labels")
        gap_B = rewards_to_gap(model(**inputs).logits.squeeze(-1).float())
        loss = pairwise_loss(gap_B, labels_B2[:, 0], labels_B2[:, 1])
        return (loss, {"gap": gap_B}) if return_outputs else loss

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, Any, Any]:
        labels_B2 = inputs["labels"]
        with torch.no_grad():
            loss, outputs = self.compute_loss(model, self._prepare_inputs(dict(inputs)), return_outputs=True)
        return loss, outputs["gap"], labels_B2

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Draws nothing from training's random numbers: a resumed run does not evaluate again before it goes on."""
        with torch.random.fork_rng(devices=[]):
            metrics: dict[str, float] = super().evaluate(*arguments, **named)
        return metrics

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Batches of like length, shuffled: padding is most of the cost of short texts on a CPU."""
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return EpochSampler(size, lengths=dataset.lengths, seed=self.args.seed)


def pair_metrics(prediction: Any) -> dict[str, float]:
    """Accuracy on decided labels, ties of the model counted half; mean reward gap towards the label."""
    gap, label = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)[:, 0]
    decided = label != 0.5
    towards = np.sign(label - 0.5)[decided] * gap[decided]
    return {
        "accuracy": float(np.mean((towards > 0) + 0.5 * (towards == 0))) if decided.any() else 0.0,
        "reward_gap": float(np.mean(towards)) if decided.any() else 0.0,
    }


def build_trainer(
    config: TrainConfig, model: Any, train: PairDataset, validation: PairDataset | None, collator: Collator
) -> PairTrainer:
    """A trainer for one run; checkpoints go to `<output>/checkpoints`."""
    arguments = TrainingArguments(
        output_dir=str(config.output / CHECKPOINTS),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=4 * config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        warmup_ratio=config.warmup_ratio,
        weight_decay=config.weight_decay,
        bf16=config.precision == "bf16",
        seed=config.seed,
        save_strategy="steps" if config.save_steps else "epoch",
        save_steps=config.save_steps or 500,
        save_total_limit=2,
        eval_strategy="epoch" if validation else "no",
        logging_steps=25,
        report_to=config.report_to,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    return PairTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator,
        compute_metrics=pair_metrics,
    )


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


def last_checkpoint(output: Path) -> Path | None:
    """The newest resumable checkpoint of a run, or None."""
    found = sorted((output / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return found[-1] if found else None
