"""`plurality publish`."""

from pathlib import Path
from typing import Annotated

import typer

from plurality.cli.options import Store


def publish(
    name: Annotated[str, typer.Argument(help="Model in the store.")],
    version: Annotated[str, typer.Argument(help="Alias, or the first digits of a version's digest.")],
    store: Store,
    alias: Annotated[str, typer.Option(help="Moves to that version.")] = "stable",
    from_store: Annotated[
        Path | None, typer.Option("--from", help="Another store: the version is copied and verified first.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="A store's URL (s3://bucket/prefix): the version goes there, and the alias too.")
    ] = None,
) -> None:
    """Move an alias to a version: promote, or bring a version over from or to another store.

    A running service follows within its poll interval; requests that run finish on the version they began with.

        plurality publish demo-margin int8 --alias stable --store .demo/store
        plurality publish demo-margin stable --store .demo/store --to s3://bucket/models
    """
    if to:
        if from_store:
            raise typer.BadParameter("--from and --to exclude each other")
        _upload(store / name, version, to, alias)
        return
    from model_export.publish import check_version, copy_version
    from service.bundle.pointer_writer import find_version, set_aliases, writer

    with writer(store, name, new=from_store is not None) as directory:
        if from_store:
            digest = copy_version(from_store / name, find_version(from_store / name, version), directory)
        else:
            digest = find_version(directory, version)
            check_version(directory, digest)
        pointer = set_aliases(directory, {alias: digest})
    typer.echo(f"{name}@{alias} is {digest[:12]} (generation {pointer.generation})")


def _upload(source: Path, version: str, url: str, alias: str) -> None:
    from model_export.upload import upload_version
    from service.bundle.pointer_writer import find_version

    digest = find_version(source, version)
    pointer = upload_version(source, digest, url, alias)
    typer.echo(f"{source.name}@{alias} is {digest[:12]} at {url} (generation {pointer.generation})")
