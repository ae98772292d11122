"""`plurality train`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ObjectiveOption(StrEnum):
    """Losses."""

    baseline = "baseline"
    margin = "margin"


class TrainPrecision(StrEnum):
    """Arithmetic of training."""

    fp32 = "fp32"
    bf16 = "bf16"


def train(
    data: Annotated[Path, typer.Option(help="Preference pairs, .jsonl or .parquet.")],
    output: Annotated[Path, typer.Option(help="Where the checkpoint goes.")],
    model: Annotated[str, typer.Option(help="Hub id or directory of an encoder or decoder.")] = "demo",
    validation: Annotated[Path | None, typer.Option(help="Held-out pairs, evaluated every epoch.")] = None,
    objective: Annotated[
        ObjectiveOption, typer.Option(help="baseline: -log σ(Δ). margin: -log σ(Δ - m), m from the judgements.")
    ] = ObjectiveOption.baseline,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 1.0,
    batch_size: Annotated[int, typer.Option(help="Pairs a step and device.")] = 16,
    gradient_accumulation: Annotated[int, typer.Option(help="Steps whose gradients are summed.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-5,
    warmup_ratio: Annotated[float, typer.Option(help="Share of the steps that warm up.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.")] = 0.01,
    max_length: Annotated[int | None, typer.Option(help="Tokens an item (default: what the model can).")] = None,
    freeze_layers: Annotated[int, typer.Option(help="Keep embeddings and so many lowest layers as they are.")] = 0,
    precision: Annotated[TrainPrecision, typer.Option(help="bf16 needs a GPU that has it.")] = TrainPrecision.fp32,
    save_steps: Annotated[int | None, typer.Option(help="Steps between checkpoints (default: an epoch).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --output.")] = False,
    seed: Annotated[int, typer.Option(help="Weights of a new head, order of the pairs.")] = 0,
    report_to: Annotated[str, typer.Option(help="none, tensorboard, wandb, ...")] = "none",
) -> None:
    """Train a reward model on preference pairs.

    Each line of the data: {"prompt": "...", "response_a": "...", "response_b": "...", "label": 1}, label 1 meaning
    that a is preferred, 0 b, 0.5 a tie. Optional: messages (instead of prompt), votes {"a": 7, "b": 3, "tie": 0} or
    margin (the margin objective needs one of the two), source, category, id. A row that cannot be used stops the
    run and is named with its line.

    --model demo is the small MiniLM encoder of the extra `demo`. The checkpoint holds its own configuration; give it
    to `plurality export` next.
    """
    from plurality.demo.encoder import resolve_model
    from training.config import TrainConfig
    from training.train import train as run

    result = run(
        TrainConfig(
            model=resolve_model(model),
            data=data,
            validation=validation,
            output=output,
            objective=objective.value,
            epochs=epochs,
            batch_size=batch_size,
            gradient_accumulation=gradient_accumulation,
            learning_rate=learning_rate,
            warmup_ratio=warmup_ratio,
            weight_decay=weight_decay,
            max_length=max_length,
            freeze_layers=freeze_layers,
            precision=precision.value,
            save_steps=save_steps,
            resume=resume,
            seed=seed,
            report_to=report_to,
        ),
        say=typer.echo,
    )
    typer.echo(f"trained {result.steps} steps in {result.seconds:.0f} s -> {result.output}")
    if result.validation:
        typer.echo("validation: " + ", ".join(f"{key} {value:.4f}" for key, value in result.validation.items()))
    typer.echo(f"next: plurality export {result.output} --store STORE --name NAME --calibrate-on HELD_OUT.jsonl")
