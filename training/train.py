"""One training run, start to end: load, tokenise, train, evaluate, save."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from model_export.checkpoint import TRAINING_RECORD, Checkpoint, open_checkpoint
from training.config import TrainConfig
from training.dataset import Collator, PairDataset
from training.errors import TrainingError
from training.load import file_digest, load_rows
from training.margins import contradiction_rate
from training.trainer import PairTrainer, build_trainer, freeze_lowest, last_checkpoint


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run ended with."""

    output: Path
    steps: int
    seconds: float
    validation: dict[str, float]


def train(config: TrainConfig, *, say: Callable[[str], None] = print) -> TrainResult:
    """Train a reward model and save it to `config.output` (safetensors, tokeniser, `plurality.json`).

    Raises:
        DataError: rows that cannot be used, each with its line.
        TrainingError: nothing to resume, or an output that already holds another run.
        UnsupportedModel: the base model cannot be a reward model here.
    """
    resume = _resume_point(config)
    transformers.set_seed(config.seed)
    base = open_checkpoint(config.model, max_length=config.max_length, new_head=True)
    train_set = _dataset(config.data, base, config)
    validation_set = _dataset(config.validation, base, config) if config.validation else None
    say(_summary(config, train_set, validation_set))
    freeze_lowest(base.model, config.freeze_layers)
    trainer = build_trainer(config, base.model, train_set, validation_set, Collator(base.format))
    outcome = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = _validation_metrics(trainer) if validation_set else {}
    _save(trainer, base, config, metrics)
    return TrainResult(config.output, outcome.global_step, outcome.metrics["train_runtime"], metrics)


def _resume_point(config: TrainConfig) -> Path | None:
    found = last_checkpoint(config.output)
    if config.resume and found is None:
        raise TrainingError(f"nothing to resume in {config.output}; leave --resume out to start")
    if not config.resume and (found or (config.output / TRAINING_RECORD).exists()):
        raise TrainingError(f"{config.output} already holds a run; pass --resume, or choose another --output")
    return found if config.resume else None


def _dataset(path: Path, base: Checkpoint, config: TrainConfig) -> PairDataset:
    return PairDataset(load_rows(path), base.tokeniser, config.objective, source=path.name)


def _summary(config: TrainConfig, train_set: PairDataset, validation_set: PairDataset | None) -> str:
    lengths = sorted(train_set.lengths)
    text = (
        f"{config.objective}: {len(train_set)} pairs from {config.data.name}"
        f"{f', {len(validation_set)} to validate' if validation_set else ''}; "
        f"tokens a response with its prompt: median {lengths[len(lengths) // 2]}, longest {lengths[-1]}; "
        f"{train_set.cut} of {2 * len(train_set)} cut to fit"
    )
    if config.objective == "margin":
        text += f"; judges contradict the label in {contradiction_rate(load_rows(config.data)):.1%} of the pairs"
    return text


def _validation_metrics(trainer: PairTrainer) -> dict[str, float]:
    raw: dict[str, Any] = trainer.evaluate()
    return {key.removeprefix("eval_"): float(raw[key]) for key in ("eval_loss", "eval_accuracy", "eval_reward_gap")}


def _save(trainer: PairTrainer, base: Checkpoint, config: TrainConfig, metrics: dict[str, float]) -> None:
    """The record last: a directory that has it is complete."""
    trainer.model.save_pretrained(config.output, safe_serialization=True)
    _tokenizer(config.model).save_pretrained(config.output)
    settings = config.model_dump(mode="json", exclude={"data", "validation", "output", "resume"})
    settings["model"] = base.source
    digests = {"train": file_digest(config.data)}
    if config.validation:
        digests["validation"] = file_digest(config.validation)
    record = {
        "objective": config.objective,
        "input_format": base.format.model_dump(mode="json"),
        "training": settings | {f"validation_{key}": value for key, value in metrics.items()},
        "data_sha256": digests,
    }
    (config.output / TRAINING_RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def _tokenizer(source: str) -> Any:
    return transformers.AutoTokenizer.from_pretrained(source, use_fast=True)
