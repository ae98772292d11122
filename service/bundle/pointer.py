"""The pointer file `<store>/<model>/pointer.json`: the desired version of each alias."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from service.bundle.formats import Closed
from service.bundle.manifest import Digest
from service.domain import ModelName
from service.errors import BundleRejected

POINTER_NAME = "pointer.json"
DEFAULT_ALIAS = "stable"
"""The alias of a request that names no version."""
MAX_POINTER_BYTES = 1 * 2**20
MAX_HISTORY = 4


class Pointer(Closed):
    """Aliases of one model. `generation` only grows, whatever the clock does."""

    schema_version: int = Field(default=1, ge=1, le=1)
    generation: int = Field(ge=1)
    aliases: dict[ModelName, Digest] = Field(max_length=64)
    history: dict[ModelName, Annotated[tuple[Digest, ...], Field(max_length=MAX_HISTORY)]] = Field({}, max_length=256)
    """What each alias named before, latest first: where a rollback goes. These versions are not collected."""

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return (json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()


def read_pointer(model_directory: Path) -> Pointer:
    """Read a model's pointer; raises BundleRejected when it is missing, too large or malformed."""
    path = model_directory / POINTER_NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POINTER_BYTES + 1)
    except OSError as error:
        raise BundleRejected(f"{model_directory.name}/{POINTER_NAME}: {error.strerror}", reason="io") from None
    return parse_pointer(model_directory.name, data)


def parse_pointer(model: str, data: bytes) -> Pointer:
    """Read pointer bytes; raises BundleRejected when they are too many or malformed."""
    if len(data) > MAX_POINTER_BYTES:
        raise BundleRejected(f"{model}/{POINTER_NAME} is too large", reason="parse")
    try:
        return Pointer.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise BundleRejected(f"{model}/{POINTER_NAME}: {first['msg']}", reason="parse") from None
