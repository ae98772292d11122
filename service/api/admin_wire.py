"""The records of the admin routes."""

from typing import Annotated

from msgspec import Meta

from service.wire import Wire


class MoveAlias(Wire):
    """Where an alias is to point."""

    version: Annotated[str, Meta(description="A digest, 8 or more of its first digits, or an alias.")]


class Rollback(Wire):
    """The alias to roll back."""

    alias: str = "stable"


class AliasMoved(Wire):
    """An alias after a change; the store's pointer says the same."""

    request_id: str
    model: str
    alias: str
    version: Annotated[str | None, Meta(description="What it names now; null: it was removed.")]
    previous: Annotated[str | None, Meta(description="What it named before; null: it was not there.")]
    generation: Annotated[int, Meta(description="Of the pointer; it grows with every change.")]


ADMIN_WIRE = (MoveAlias, Rollback, AliasMoved)
"""Everything that OpenAPI describes of them."""
