"""`plurality export`."""

from pathlib import Path
from typing import Annotated

import typer

from plurality.cli.options import Name, Precisions, Store, checked_precisions


def export(
    checkpoint: Annotated[str, typer.Argument(help="What `plurality train` wrote.")],
    store: Store,
    name: Name,
    calibrate_on: Annotated[
        Path | None, typer.Option(help="Held-out pairs: fit the temperature, set the zero, check accuracy.")
    ] = None,
    precision: Precisions = ["fp32", "int8"],  # noqa: B006 - typer copies it
    alias: Annotated[str, typer.Option(help="Moves to the new version.")] = "stable",
) -> None:
    """Turn a checkpoint into published bundles: ONNX, verified against torch, calibrated.

    The file is run through the service's own tokenizer and runner on 240 and more texts: fp32 must agree with torch
    to 1e-5; fp16 and int8 must rank alike (Spearman 0.9995 and 0.995) and keep the accuracy on the held-out pairs:
    a loss of more than 0.5 points that is no chance (McNemar's test) refuses that precision (exit 4), and of the first
    one everything.
    """
    from model_export.checkpoint import open_checkpoint
    from model_export.pipeline import Target
    from model_export.pipeline import export as run
    from plurality.training.load import load_rows

    target = Target(store, name, checked_precisions(precision), (alias,))
    held_out = load_rows(calibrate_on) if calibrate_on else []
    published = run(open_checkpoint(checkpoint), target, held_out=held_out, say=typer.echo)
    for entry in published:
        typer.echo(f"published {name}@{entry.digest[:12]} ({entry.manifest.precision}) as {', '.join(entry.aliases)}")
    if len(published) < len(precision):
        raise typer.Exit(4)
    if not held_out:
        typer.echo(f"not calibrated: run `plurality calibrate {name} --store {store} --data HELD_OUT.jsonl`")
