"""`plurality rollback`."""

from typing import Annotated

import typer

from plurality.cli.options import Store


def rollback(
    name: Annotated[str, typer.Argument(help="Model in the store.")],
    store: Store,
    alias: Annotated[str, typer.Option(help="Goes back to the version that it named before.")] = "stable",
) -> None:
    """Point an alias at the version that it named before; repeat to go back further.

    A running service follows within its poll interval; requests that run finish on the version they began with.

        plurality rollback demo-margin --store .demo/store
    """
    from service.bundle.pointer_writer import current_version, roll_back, writer

    with writer(store, name, new=False) as directory:
        left = current_version(directory, alias) or "nothing"
        pointer = roll_back(directory, alias)
    typer.echo(f"{name}@{alias} is {pointer.aliases[alias][:12]}, was {left[:12]} (generation {pointer.generation})")
