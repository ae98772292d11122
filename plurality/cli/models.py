"""`plurality models`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.cli.options import Store, names_in

if TYPE_CHECKING:
    from service.bundle.manifest import Manifest


def models(
    store: Store,
    verify: Annotated[bool, typer.Option("--verify", help="Check every byte of every version.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List the models and versions of a store, their aliases and what they are.

    With --verify the exit code is 4 if any version does not verify.
    """
    names = names_in(store)
    if not names:
        typer.echo(f"no models in {store}", err=True)
    entries = [entry for name in names for entry in _versions(store / name, verify=verify)]
    if as_json:
        typer.echo(msgspec.json.encode(entries))
    else:
        for entry in entries:
            typer.echo(_line(entry))
    if any(entry["problem"] for entry in entries):
        raise typer.Exit(4)


def _versions(directory: Path, *, verify: bool) -> list[dict[str, Any]]:
    from model_export.publish import read_manifest
    from service.bundle.pointer import read_pointer
    from service.bundle.store import VERSIONS

    aliases: dict[str, list[str]] = {}
    for alias, digest in read_pointer(directory).aliases.items():
        aliases.setdefault(digest, []).append(alias)
    found = []
    for path in (directory / VERSIONS).iterdir():
        manifest = read_manifest(path)
        found.append(
            _entry(path.name, manifest, sorted(aliases.get(path.name, [])), _problem(path) if verify else None)
        )
    return sorted(found, key=lambda entry: -int(entry["sequence"]))


def _problem(path: Path) -> str | None:
    from service.bundle.store import read_verified
    from service.errors import BundleRejected

    try:
        read_verified(path)
    except BundleRejected as error:
        return error.message
    return None


def _entry(digest: str, manifest: "Manifest", aliases: list[str], problem: str | None) -> dict[str, Any]:
    calibration = manifest.calibration
    return {
        "model": manifest.model,
        "version": digest,
        "sequence": manifest.sequence,
        "aliases": aliases,
        "objective": manifest.objective,
        "precision": manifest.precision,
        "temperature": calibration.temperature if calibration else None,
        "created": manifest.created,
        "problem": problem,
    }


def _line(entry: dict[str, Any]) -> str:
    temperature = entry["temperature"]
    calibrated = f"T {temperature:.3f}" if temperature else "uncalibrated"
    parts = [
        f"{entry['model']}@{entry['version'][:12]}", f"#{entry['sequence']}", entry["objective"], entry["precision"],
        calibrated, entry["created"], ", ".join(entry["aliases"]) or "-",
    ]  # fmt: skip
    return "  ".join(parts) + (f"  BROKEN: {entry['problem']}" if entry["problem"] else "")
