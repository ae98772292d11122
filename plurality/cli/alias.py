"""`plurality alias`."""

from typing import Annotated

import typer

from plurality.cli.options import Store

Model = Annotated[str, typer.Argument(help="Model in the store.")]
Alias = Annotated[str, typer.Argument(help="Alias: lower case, digits, . _ - (at most 64).")]
alias = typer.Typer(
    help="Which versions are served, under which names. A running service follows within its poll interval.",
    no_args_is_help=True,
)


@alias.command("set")
def set_alias(
    name: Model,
    chosen: Alias,
    version: Annotated[str, typer.Argument(help="Another alias, or the first digits of a version's digest.")],
    store: Store,
) -> None:
    """Point an alias at a version, after checking every byte of it.

    plurality alias set demo-margin stable candidate --store .demo/store
    """
    from model_export.publish import check_version
    from service.bundle.pointer_writer import find_version, set_aliases, writer

    with writer(store, name, new=False) as directory:
        digest = find_version(directory, version)
        check_version(directory, digest)
        pointer = set_aliases(directory, {chosen: digest})
    typer.echo(f"{name}@{chosen} is {digest[:12]} (generation {pointer.generation})")


@alias.command()
def remove(name: Model, chosen: Alias, store: Store) -> None:
    """Take an alias away; its version stays in the store until `plurality gc`."""
    from service.bundle.pointer_writer import current_version, set_aliases, writer
    from service.errors import UnknownModel

    with writer(store, name, new=False) as directory:
        if current_version(directory, chosen) is None:
            raise UnknownModel(f"model {name} has no alias {chosen!r}")
        pointer = set_aliases(directory, {chosen: None})
    typer.echo(f"{name}@{chosen} is gone (generation {pointer.generation})")


@alias.command("list")
def list_aliases(name: Model, store: Store) -> None:
    """Show what each alias names, and what it named before."""
    from service.bundle.pointer import read_pointer

    pointer = read_pointer(store / name)
    for each, digest in sorted(pointer.aliases.items()):
        before = ", ".join(former[:12] for former in pointer.history.get(each, ()))
        typer.echo(f"{name}@{each}  {digest[:12]}" + (f"  (before: {before})" if before else ""))
