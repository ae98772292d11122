"""`plurality calibrate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from plurality.cli.options import Store
from service.bundle.manifest import CalibrationMethod


def calibrate(
    name: Annotated[str, typer.Argument(help="Model in the store.")],
    store: Store,
    data: Annotated[Path, typer.Option(help="Labeled pairs that the model was not trained on, .jsonl or .parquet.")],
    version: Annotated[str, typer.Option(help="Alias or digest to start from.")] = "stable",
    alias: Annotated[
        str | None, typer.Option(help="Moves to the new version (default: --version, if that is an alias).")
    ] = None,
    method: Annotated[
        Literal["auto", CalibrationMethod],
        typer.Option(help="How differences of rewards become probabilities; auto: least cross-validated NLL."),
    ] = "auto",
    per_source: Annotated[
        bool, typer.Option("--per-source", help="A temperature of its own for each source of the rows.")
    ] = False,
) -> None:
    """Fit P(a preferred) on held-out pairs and publish it as a new version.

    temperature: σ(Δ/T), Δ = r_a - r_b. power: σ(sign(Δ)·|Δ/T|^γ). isotonic: a monotone curve, for many pairs. All
    are antisymmetric: P(a,b) + P(b,a) = 1. auto compares them on folds by prompt, and keeps temperature unless another
    is better by more than one standard error. Vote fractions are used where the rows have votes.
    The weights stay the same, byte for byte; the old version stays in the store.
    """
    from model_export.pipeline import describe_calibration, recalibrate
    from plurality.training.load import load_rows
    from service.bundle.pointer_writer import current_version

    if alias is None and current_version(store / name, version) is not None:
        alias = version
    rows = load_rows(data)
    entry = recalibrate(store, name, version, rows, alias=alias, method=method, per_source=per_source)
    if entry.manifest.calibration:
        typer.echo(describe_calibration(entry.manifest.calibration))
    moved = f" as {alias}" if alias else ""
    typer.echo(f"published {name}@{entry.digest[:12]} ({entry.manifest.precision}){moved}")
