"""`plurality publish`."""

from pathlib import Path
from typing import Annotated

import typer

from plurality.commands.options import Store


def publish(
    name: Annotated[str, typer.Argument(help="Model in the store.")],
    version: Annotated[str, typer.Argument(help="Alias, or the first digits of a version's digest.")],
    store: Store,
    alias: Annotated[str, typer.Option(help="Moves to that version.")] = "stable",
    from_store: Annotated[
        Path | None, typer.Option("--from", help="Another store: the version is copied and verified first.")
    ] = None,
) -> None:
    """Move an alias to a version: promote, roll back, or bring a version over from another store.

    A running service follows within its poll interval; requests that run finish on the version they began with.

        plurality publish demo-margin int8 --alias stable --store .demo/store
    """
    from model_export.publish import check_version, copy_version
    from service.repository.pointer_writer import find_version, set_aliases, writer

    with writer(store, name, new=from_store is not None) as directory:
        if from_store:
            digest = copy_version(from_store / name, find_version(from_store / name, version), directory)
        else:
            digest = find_version(directory, version)
            check_version(directory, digest)
        pointer = set_aliases(directory, {alias: digest})
    typer.echo(f"{name}@{alias} is {digest[:12]} (generation {pointer.generation})")
