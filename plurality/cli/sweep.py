"""`plurality sweep`."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from plurality.cli.train import train as train_command
from plurality.training.config import Criterion, TrainConfig, checked_config


def sweep(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="A folder for each run, sweep.json and sweep.png.")],
    learning_rates: Annotated[str, typer.Option(help="Peak learning rates.")] = "1e-6,3e-6,1e-5,3e-5,1e-4",
    seeds: Annotated[str, typer.Option(help="Each rate is run with each.")] = "0",
    select: Annotated[
        Criterion, typer.Option(help="Held-out loss of the objective (least), or accuracy (most).")
    ] = "loss",
) -> None:
    """Train at several learning rates and choose the best on held-out pairs.

    Every other option is `plurality train`'s and goes to each run: give at least --data and --validation. Stopped, the
    same command goes on where it was. Compare objectives by sweeping each of them alike, on the same pairs.

    plurality sweep --data train.jsonl --validation validation.jsonl --objective soft --output sweeps/soft
    """
    from plurality.training.errors import TrainingError
    from plurality.training.sweep import choose, write_sweep
    from plurality.training.sweep import sweep as run

    try:
        rates, numbers = [float(rate) for rate in learning_rates.split(",")], [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise TrainingError("learning rates are numbers, seeds whole numbers, with commas between") from None
    taken = {"--learning-rate", "--seed", "--resume"} & {word.split("=")[0] for word in context.args}
    if taken or not any(word.split("=")[0] == "--validation" for word in context.args):
        raise TrainingError(f"{', '.join(taken)} is the sweep's own" if taken else "a sweep needs --validation")

    def train(rate: float, seed: int, place: Path, resume: bool) -> None:
        words = [*context.args, "--output", str(place), "--learning-rate", repr(rate), "--seed", str(seed)]
        command = [sys.executable, "-m", "plurality", "train", *words, *(["--resume"] if resume else [])]
        if code := subprocess.run(command, check=False).returncode:  # noqa: S603 - this program
            raise TrainingError(f"the run in {place} ended with exit code {code}; what it said is above")

    runs = run(output, rates, numbers, _expected(context.args, output), train, typer.echo)
    chosen = choose(runs, select)
    write_sweep(output, runs, chosen, select)
    for entry in runs:
        mark = "  <- best" if entry == chosen.run else ""
        typer.echo(f"  {entry.folder:<24} loss {entry.loss:.4f}  accuracy {entry.accuracy:.4f}{mark}")
    if chosen.at_edge:
        typer.echo("the best rate is at the edge of those tried: try beyond it")
    typer.echo(f"next: plurality export {output / chosen.run.folder} --store STORE --name NAME --calibrate-on HELD_OUT")


def _expected(words: list[str], output: Path) -> dict[str, Any]:
    """What the records of runs with these options of `plurality train` say, whatever their rate and seed."""
    from plurality.training.errors import TrainingError
    from plurality.training.load import file_digest

    command = typer.Typer(add_completion=False)
    command.command()(train_command)
    given = typer.main.get_command(command).make_context("plurality train", list(words)).params
    if given["data"] is None:
        raise TrainingError("a sweep needs --data")
    plain = {name: value for name, value in given.items() if name in TrainConfig.model_fields}
    config = checked_config(**plain | {"output": output})
    for path in (config.data, config.validation):
        if path is not None and not path.is_file():
            raise TrainingError(f"{path}: no such file")
    free = {"data", "validation", "output", "resume", "model", "learning_rate", "seed", "save_steps", "report_to"}
    digests = {"train": file_digest(config.data)}
    if config.validation:
        digests["validation"] = file_digest(config.validation)
    return {"training": config.model_dump(mode="json", exclude=free), "data_sha256": digests}
