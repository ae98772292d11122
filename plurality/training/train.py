"""One training run, start to end: load, tokenize, train, evaluate, save."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from model_export.checkpoint import TRAINING_RECORD, Checkpoint, open_checkpoint
from plurality.training.config import TrainConfig
from plurality.training.dataset import Collator, PairDataset
from plurality.training.errors import TrainingError
from plurality.training.freeze import freeze_lowest
from plurality.training.load import file_digest, load_rows
from plurality.training.lora import add_lora, merged
from plurality.training.plots import plot_weights, weights_of
from plurality.training.processes import is_first
from plurality.training.trainer import PairTrainer, build_trainer, last_checkpoint
from service.bundle.files import replace_file

MORE_PLOT = "more.png"
STARTED = "run.json"
"""The settings that a run was started with."""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a run ended with."""

    output: Path
    steps: int
    seconds: float
    validation: dict[str, float]


def train(config: TrainConfig, *, say: Callable[[str], None] = print) -> TrainResult:
    """Train a reward model and save it to `config.output` (safetensors, tokenizer, `plurality.json`; with MORE a plot).

    Raises:
        DataError: rows that cannot be used, each with its line.
        TrainingError: nothing to resume, other settings than the run that is resumed, or an output that holds a run.
        UnsupportedModel: the base model cannot be a reward model here.
    """
    say = say if is_first() else _nothing
    resume = _resume_point(config)
    transformers.set_seed(config.seed)
    base = open_checkpoint(config.model, max_length=config.max_length, new_head=True)
    train_set = _dataset(config.data, base, config)
    validation_set = _dataset(config.validation, base, config, keep_dropped=True) if config.validation else None
    say(_summary(config, train_set, validation_set))
    extra_sources = sorted(set(validation_set.sources) - set(train_set.sources)) if validation_set else []
    collator = Collator(base.format, (*train_set.sources, *extra_sources))
    trainer = build_trainer(config, _trainable(base, config, say), train_set, validation_set, collator)
    if trainer.args.world_size < torch.cuda.device_count():
        say(
            f"{torch.cuda.device_count()} GPUs, {trainer.args.world_size} of them used; for all: torchrun "
            f"--nproc-per-node {torch.cuda.device_count()} -m plurality train ..."
        )
    _keep_settings(config, trainer.args.world_size)
    outcome = trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = _validation_metrics(trainer) if validation_set else {}
    trainer.accelerator.wait_for_everyone()  # what one process ends first must not break the others' last exchange
    if not is_first():
        return TrainResult(config.output, outcome.global_step, outcome.metrics["train_runtime"], metrics)
    if config.more:
        plot_weights(trainer.state.log_history, config.output / MORE_PLOT)
    _save(trainer, base, config, _findings(trainer, train_set, metrics))
    return TrainResult(config.output, outcome.global_step, outcome.metrics["train_runtime"], metrics)


def by_source(figures: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Validation figures of all pairs under "", then those of each source under " of <source>"."""
    found: dict[str, dict[str, float]] = {}
    for key, value in figures.items():
        name, _, source = key.partition("/")
        found.setdefault(f" of {source}" if source else "", {})[name] = value
    return found


def _nothing(_: str) -> None:
    """One process speaks for all."""


def _trainable(base: Checkpoint, config: TrainConfig, say: Callable[[str], None]) -> Any:
    freeze_lowest(base.model, config.freeze_layers)
    if not config.lora_rank:
        return base.model
    model = add_lora(
        base.model,
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        targets=config.lora_targets,
        new_weights=base.new_weights,
    )
    trained, every = model.get_nb_trainable_parameters()
    say(f"LoRA: {trained:,} of {every:,} weights are trained ({trained / every:.2%}), the head among them")
    return model


def _resume_point(config: TrainConfig) -> Path | None:
    found = last_checkpoint(config.output)
    if config.resume and found is None:
        raise TrainingError(f"nothing to resume in {config.output}; leave --resume out to start")
    if not config.resume and (found or (config.output / TRAINING_RECORD).exists()):
        raise TrainingError(f"{config.output} already holds a run; pass --resume, or choose another --output")
    return found if config.resume else None


def _keep_settings(config: TrainConfig, processes: int) -> None:
    """Write what the run was started with; a resumed run that differs would be no run at all, but two halves.

    Raises:
        TrainingError: names the settings, or the data, that are not those of the interrupted run.
    """
    own = config.model_dump(mode="json", exclude={"data", "validation", "output", "resume", "report_to"})
    own["processes"] = processes
    own["data"] = file_digest(config.data)
    own["validation"] = file_digest(config.validation) if config.validation else None
    path = config.output / STARTED
    if config.resume and path.exists():
        started = json.loads(path.read_text(encoding="utf-8"))
        if changed := sorted(name for name in own if own[name] != started.get(name)):
            names = ", ".join(changed)
            raise TrainingError(
                f"the interrupted run in {config.output} had another {names}; resume it as it was begun"
            )
        return
    if not is_first():
        return
    config.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _dataset(path: Path, base: Checkpoint, config: TrainConfig, *, keep_dropped: bool = False) -> PairDataset:
    rows = load_rows(path)
    return PairDataset(rows, base.tokenizer, config.spec, source=path.name, keep_dropped=keep_dropped)


def _summary(config: TrainConfig, train_set: PairDataset, validation_set: PairDataset | None) -> str:
    lengths = sorted(train_set.lengths)
    text = (
        f"{config.objective_name}: {len(train_set)} pairs from {config.data.name}"
        f"{f', {len(validation_set)} to validate' if validation_set else ''}; "
        f"tokens a response with its prompt: median {lengths[len(lengths) // 2]}, longest {lengths[-1]}; "
        f"{train_set.cut} of {2 * (len(train_set) + train_set.dropped)} cut to fit"
    )
    if train_set.judged:
        share = train_set.contradicted / train_set.judged
        text += f"; judges contradict the label in {share:.1%} of the pairs ({train_set.contradicted})"
        text += f", {train_set.dropped} dropped" if train_set.dropped else ""
    if config.more:
        counts = [train_set.source_ids.count(place) for place in range(len(train_set.sources))]
        named = ", ".join(f"{name} {count}" for name, count in zip(train_set.sources, counts, strict=True))
        text += f"; sources: {named}"
        text += " (only one: its weight is always 1)" if len(counts) == 1 else ""
    return text


def _findings(trainer: PairTrainer, train_set: PairDataset, metrics: dict[str, float]) -> dict[str, float]:
    """What the run found, for the record."""
    found: dict[str, float] = {f"validation_{key}": value for key, value in metrics.items()}
    found |= {"contradicted_pairs": train_set.contradicted, "dropped_pairs": train_set.dropped}
    _, weights = weights_of(trainer.state.log_history)
    return found | {f"more_mean_lambda/{name}": sum(values) / len(values) for name, values in weights.items()}


def _validation_metrics(trainer: PairTrainer) -> dict[str, float]:
    raw: dict[str, Any] = trainer.evaluate()
    figures = ("loss", "accuracy", "reward_gap", "ece", "nll")
    named = {key.removeprefix("eval_"): value for key, value in raw.items()}
    return {key: float(value) for key, value in named.items() if key.partition("/")[0] in figures}


def _save(trainer: PairTrainer, base: Checkpoint, config: TrainConfig, findings: dict[str, float]) -> None:
    """The record last: a directory that has it is complete."""
    merged(trainer.model).save_pretrained(config.output, safe_serialization=True)
    _tokenizer(config.model).save_pretrained(config.output)
    settings = config.model_dump(mode="json", exclude={"data", "validation", "output", "resume"})
    settings["model"] = base.source
    settings["processes"] = trainer.args.world_size
    if not config.lora_rank:
        settings = {name: value for name, value in settings.items() if not name.startswith("lora_")}
    digests = {"train": file_digest(config.data)}
    if config.validation:
        digests["validation"] = file_digest(config.validation)
    record = {
        "objective": config.objective_name,
        "input_format": base.format.model_dump(mode="json"),
        "training": settings | findings,
        "data_sha256": digests,
    }
    replace_file(config.output / TRAINING_RECORD, (json.dumps(record, indent=2, sort_keys=True) + "\n").encode())


def _tokenizer(source: str) -> Any:
    return transformers.AutoTokenizer.from_pretrained(source, use_fast=True)
