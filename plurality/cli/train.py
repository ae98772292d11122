"""`plurality train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from plurality.cli.options import fields_as_options
from plurality.training.config import TrainConfig, checked_config

if TYPE_CHECKING:
    from plurality.training.train import TrainResult

_WATCH = (
    "Run as the sidecar of a service, configured by this TOML file: new votes -> train from the running version -> "
    "calibrate -> export -> gates -> publish as `candidate`. No other option but the next two applies."
)
_PROMOTE = (
    "With --watch: move `stable` to the candidate when this experiment's report says promote, and drop the candidate "
    "when it says roll_back. Without it `stable` never moves."
)


@fields_as_options(TrainConfig, defaults={"data": None, "output": None, "model": "demo"})
def train(
    *,
    watch: Annotated[Path | None, typer.Option(help=_WATCH)] = None,
    once: Annotated[bool, typer.Option("--once", help="With --watch: do what is due, then end.")] = False,
    promote_after_experiment: Annotated[str | None, typer.Option(help=_PROMOTE)] = None,
    **settings: Any,
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
    if settings["data"] is None or settings["output"] is None:
        raise typer.BadParameter("give --data and --output (or --watch FILE)")
    from plurality.synthetic.encoder import resolve_model
    from plurality.training.processes import is_first, leave
    from plurality.training.train import train as run

    config = checked_config(**settings | {"model": resolve_model(settings["model"])})
    result = run(config, say=typer.echo)
    if is_first():
        _report(result, more=config.more)
    leave()


def _report(result: "TrainResult", *, more: bool) -> None:
    from plurality.training.train import by_source

    if more:
        typer.echo(f"weights of the sources over the run: {result.output / 'more.png'}")
    typer.echo(f"trained {result.steps} steps in {result.seconds:.0f} s -> {result.output}")
    if result.validation:
        for name, figures in by_source(result.validation).items():
            typer.echo(f"validation{name}: " + ", ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    typer.echo(f"next: plurality export {result.output} --store STORE --name NAME --calibrate-on HELD_OUT.jsonl")
