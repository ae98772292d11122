"""Moving aliases: only while the pointer is what the decision was about, and patiently while another writes."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from plurality.sidecar.config import SidecarConfig
from plurality.sidecar.verdict import Asked
from service.bundle.pointer_writer import current_pointer, set_aliases, writer
from service.errors import StoreBusy

_PATIENCE_S = 60.0
_PAUSE_S = 0.25
_Result = TypeVar("_Result")


def patiently(act: Callable[[], _Result], *, patience_s: float = _PATIENCE_S) -> _Result:
    """Do it, again while another process writes the model.

    Raises:
        StoreBusy: it wrote all the time.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return act()
        except StoreBusy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


def happened(aliases: Mapping[str, str], config: SidecarConfig, digest: str) -> Asked | None:
    """What the pointer says of a candidate already: this process died after it moved, or a person moved it."""
    if aliases.get(config.stable) == digest:
        return Asked("promote", (f"`{config.stable}` names it already",))
    if aliases.get(config.candidate) != digest:
        return Asked("moved_by_hand", (f"`{config.candidate}` does not name it any more",))
    return None


def move(config: SidecarConfig, digest: str, asked: Asked) -> Asked:
    """Do what the experiment says, if it speaks of what the pointer says now; otherwise `hold`, with the reason.

    Raises:
        StoreBusy: another process writes the model; nothing was moved.
        PublishError: the store cannot be written.
    """

    def once() -> Asked:
        with writer(config.store, config.name) as directory:
            pointer = current_pointer(directory)
            aliases = pointer.aliases if pointer else {}
            if aliases.get(config.candidate) != digest:
                return Asked("hold", (f"`{config.candidate}` does not name it any more",), "moved")
            if asked.action == "roll_back":
                set_aliases(directory, {config.candidate: None})
            elif asked.control is None or aliases.get(config.stable) != asked.control:
                reason = f"it was compared with version {(asked.control or 'unknown')[:12]}, which `{config.stable}` "
                return Asked("hold", (reason + "does not name: compare it with the one that runs",), "other control")
            else:
                set_aliases(directory, {config.stable: digest})
        return asked

    return patiently(once)
