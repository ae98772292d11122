"""`plurality train`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ObjectiveOption(StrEnum):
    """Losses; `plurality/training/targets.py` has their table."""

    baseline = "baseline"
    bt = "bt"
    margin = "margin"
    soft = "soft"
    mix = "mix"
    scaled_bt = "scaled-bt"


class MarginPolicyOption(StrEnum):
    """What to do where the judges reject the label."""

    unsigned = "unsigned"
    clamp = "clamp"
    signed = "signed"
    drop = "drop"


class TrainPrecision(StrEnum):
    """Arithmetic of training."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    """Named so that its refusal can say why."""


_OBJECTIVE = (
    "Δ = r_a - r_b, q = share of votes, m = |2q - 1|, written for label a. baseline (or bt): -log σ(Δ), Bradley-Terry. "
    "margin: -log σ(Δ - m), 2412.03822 eq. 4. soft: -q log σ(Δ) - (1 - q) log σ(-Δ). mix: soft, of "
    "(1 - α)·label + α·q. scaled-bt: -m log σ(Δ), 2410.01257."
)
_POLICY = (
    "m of margin and scaled-bt where judges may reject the label; q_j = share for the labeled answer. unsigned: "
    "|2q - 1|, as in 2412.03822 eq. 3, pushes hardest where all reject it. clamp: max(0, 2q_j - 1). signed: 2q_j - 1 "
    "(margin only). drop: such pairs are left out."
)
_MORE = (
    "Weigh sources: Σ λ_k L_k, λ the least ‖Σ λ_k g_k‖² over head gradients g_k, new each step (2312.07401 eq. 7, App. "
    "B). Steps hold as many pairs of each `source`; λ goes to the log and to OUTPUT/more.png."
)

_WATCH = (
    "Run as the sidecar of a service, configured by this TOML file: new votes -> train from the running version -> "
    "calibrate -> export -> gates -> publish as `candidate`. No other option but the next two applies."
)
_PROMOTE = (
    "With --watch: move `stable` to the candidate when this experiment's report says promote, and drop the candidate "
    "when it says roll_back. Without it `stable` never moves."
)


def train(
    data: Annotated[Path | None, typer.Option(help="Preference pairs, .jsonl or .parquet.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the checkpoint goes.")] = None,
    model: Annotated[str, typer.Option(help="Hub id or directory of an encoder or decoder.")] = "demo",
    validation: Annotated[Path | None, typer.Option(help="Held-out pairs, evaluated every epoch.")] = None,
    objective: Annotated[ObjectiveOption, typer.Option(help=_OBJECTIVE)] = ObjectiveOption.baseline,
    margin_policy: Annotated[MarginPolicyOption, typer.Option(help=_POLICY)] = MarginPolicyOption.unsigned,
    mix_alpha: Annotated[float, typer.Option(help="α of mix: 0 is the label alone, 1 the votes alone.")] = 0.5,
    centering: Annotated[
        float, typer.Option(help="c of + c·(r_a + r_b)², keeps rewards around 0 (2312.09244 eq. 2, about 0.01).")
    ] = 0.0,
    more: Annotated[bool, typer.Option("--more", help=_MORE)] = False,
    more_floor: Annotated[
        float, typer.Option(help="ε of λ <- (1 - ε)λ + ε/K: a source that is learned takes not all weight.")
    ] = 0.0,
    epochs: Annotated[float, typer.Option(help="Passes over the data.")] = 1.0,
    batch_size: Annotated[int, typer.Option(help="Pairs a batch and process.")] = 16,
    gradient_accumulation: Annotated[
        int, typer.Option(help="Batches a step: the loss is the mean of all their pairs.")
    ] = 1,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 2e-5,
    warmup_ratio: Annotated[float, typer.Option(help="Share of the steps that warm up.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="AdamW's weight decay.")] = 0.01,
    max_length: Annotated[int | None, typer.Option(help="Tokens an item (default: what the model can).")] = None,
    freeze_layers: Annotated[int, typer.Option(help="Keep embeddings and so many lowest layers as they are.")] = 0,
    lora_rank: Annotated[
        int, typer.Option(help="LoRA: train W + (α/r)·BA with B, A of this rank r (0: W itself). Saved merged.")
    ] = 0,
    lora_alpha: Annotated[float, typer.Option(help="α of LoRA.")] = 16.0,
    lora_dropout: Annotated[float, typer.Option(help="Dropout before A.")] = 0.0,
    lora_targets: Annotated[
        str, typer.Option(help="Layers with LoRA: all-linear, or names: q_proj,v_proj. The head is trained in full.")
    ] = "all-linear",
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, a third more work, the same gradients.")
    ] = False,
    precision: Annotated[
        TrainPrecision, typer.Option(help="bf16: autocast; weights, head and loss stay fp32. fp16 is refused.")
    ] = TrainPrecision.fp32,
    save_steps: Annotated[int | None, typer.Option(help="Steps between checkpoints (default: an epoch).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --output.")] = False,
    seed: Annotated[int, typer.Option(help="Weights of a new head, order of the pairs.")] = 0,
    report_to: Annotated[str, typer.Option(help="none, tensorboard, wandb, ...")] = "none",
    watch: Annotated[Path | None, typer.Option(help=_WATCH)] = None,
    once: Annotated[bool, typer.Option("--once", help="With --watch: do what is due, then end.")] = False,
    promote_after_experiment: Annotated[str | None, typer.Option(help=_PROMOTE)] = None,
) -> None:
    """Train a reward model on preference pairs.

    Each line of the data: {"prompt": "...", "response_a": "...", "response_b": "...", "label": 1}, label 1 meaning
    that a is preferred, 0 b, 0.5 a tie. Optional: messages (instead of prompt), votes {"a": 7, "b": 3, "tie": 0} or
    margin (margin and scaled-bt need one of the two, soft and mix need votes), source, category, id. A row that cannot
    be used stops the run and is named with its line.

    --model demo is the small MiniLM encoder of the extra `demo`. The checkpoint holds its own configuration; give it
    to `plurality export` next.

    Several GPUs, or processes: torchrun --nproc-per-node 2 -m plurality train ... A step then has batch size ×
    processes × accumulation pairs, and is the step that one process with as many pairs would take.
    """
    if watch is not None:
        from plurality.sidecar.start import start

        start(watch, once=once, experiment=promote_after_experiment, say=typer.echo)
        return
    if data is None or output is None:
        raise typer.BadParameter("give --data and --output (or --watch FILE)")
    from plurality.synthetic.encoder import resolve_model
    from plurality.training.config import checked_config
    from plurality.training.processes import is_first
    from plurality.training.train import by_source
    from plurality.training.train import train as run

    result = run(
        checked_config(
            model=resolve_model(model),
            data=data,
            validation=validation,
            output=output,
            objective=objective.value,
            margin_policy=margin_policy.value,
            mix_alpha=mix_alpha,
            centering=centering,
            more=more,
            more_floor=more_floor,
            epochs=epochs,
            batch_size=batch_size,
            gradient_accumulation=gradient_accumulation,
            learning_rate=learning_rate,
            warmup_ratio=warmup_ratio,
            weight_decay=weight_decay,
            max_length=max_length,
            freeze_layers=freeze_layers,
            lora_rank=lora_rank,
            lora_alpha=lora_alpha,
            lora_dropout=lora_dropout,
            lora_targets=lora_targets,
            gradient_checkpointing=gradient_checkpointing,
            precision=precision.value,
            save_steps=save_steps,
            resume=resume,
            seed=seed,
            report_to=report_to,
        ),
        say=typer.echo,
    )
    if not is_first():
        return
    if more:
        typer.echo(f"weights of the sources over the run: {result.output / 'more.png'}")
    typer.echo(f"trained {result.steps} steps in {result.seconds:.0f} s -> {result.output}")
    if result.validation:
        for name, figures in by_source(result.validation).items():
            typer.echo(f"validation{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    typer.echo(f"next: plurality export {result.output} --store STORE --name NAME --calibrate-on HELD_OUT.jsonl")
