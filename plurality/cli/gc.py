"""`plurality gc`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from plurality.cli.options import Store, names_in


def gc(
    store: Store,
    name: Annotated[str | None, typer.Argument(help="One model; all of them if left out.")] = None,
    keep: Annotated[int, typer.Option(min=0, help="The newest versions that stay in any case.")] = 3,
    grace_hours: Annotated[float, typer.Option(min=0, help="Younger versions stay.")] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove old versions. What a pointer names stays: every alias, and where a rollback of it may go.

    plurality gc --store .demo/store --keep 3 --dry-run
    """
    for each in [name] if name else names_in(store):
        digests = _collect(store, each, newest=keep, grace_s=grace_hours * 3600, dry_run=dry_run)
        for digest in digests:
            typer.echo(f"{each}@{digest[:12]} {'would go' if dry_run else 'is gone'}")
        if not digests:
            typer.echo(f"{each}: nothing to remove")


def _collect(store: Path, name: str, *, newest: int, grace_s: float, dry_run: bool) -> Sequence[str]:
    from service.bundle.gc import collect, find_collectable
    from service.bundle.pointer_writer import current_pointer, writer
    from service.errors import UnknownModel

    if dry_run:
        if current_pointer(store / name) is None:
            raise UnknownModel(f"the store has no model {name!r}")
        return find_collectable(store / name, newest=newest, grace_s=grace_s, now=time.time())
    with writer(store, name, new=False) as directory:
        digests = find_collectable(directory, newest=newest, grace_s=grace_s, now=time.time())
        collect(directory, digests)
    return digests
