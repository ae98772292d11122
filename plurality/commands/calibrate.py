"""`plurality calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from plurality.commands.options import Store


def calibrate(
    name: Annotated[str, typer.Argument(help="Model in the store.")],
    store: Store,
    data: Annotated[Path, typer.Option(help="Labelled pairs that the model was not trained on, .jsonl or .parquet.")],
    version: Annotated[str, typer.Option(help="Alias or digest to start from.")] = "stable",
    alias: Annotated[
        str | None, typer.Option(help="Moves to the new version (default: --version, if that is an alias).")
    ] = None,
) -> None:
    """Fit the temperature of P(a preferred) = σ((r_a - r_b) / T) and publish it as a new version.

    Vote fractions are used where the rows have votes. The weights stay the same, byte for byte; the old version
    stays in the store.
    """
    from model_export.pipeline import describe_calibration, recalibrate
    from model_export.publish import current_version
    from training.load import load_rows

    if alias is None and current_version(store / name, version) is not None:
        alias = version
    entry = recalibrate(store, name, version, [row.as_pair() for row in load_rows(data)], alias=alias)
    if entry.manifest.calibration:
        typer.echo(describe_calibration(entry.manifest.calibration))
    moved = f" as {alias}" if alias else ""
    typer.echo(f"published {name}@{entry.digest[:12]} ({entry.manifest.precision}){moved}")
