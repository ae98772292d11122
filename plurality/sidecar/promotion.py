"""Moves aliases after a decision: only while the pointer is the one that was decided about; waits for other writers."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from plurality.sidecar.ask_service import ReportAnswer
from plurality.sidecar.config import SidecarConfig
from service.bundle.pointer_writer import current_pointer, set_aliases, writer
from service.errors import StoreBusy

_PATIENCE_S = 60.0
_PAUSE_S = 0.25
_Result = TypeVar("_Result")


def retry_while_busy(act: Callable[[], _Result], *, patience_s: float = _PATIENCE_S) -> _Result:
    """Call `act`, and call it again while another process writes the model.

    Raises:
        StoreBusy: that process was still writing after `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return act()
        except StoreBusy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)


def already_decided(aliases: Mapping[str, str], config: SidecarConfig, digest: str) -> ReportAnswer | None:
    """Return the decision that the aliases already show (this process died after moving them, or a person did)."""
    if aliases.get(config.stable) == digest:
        return ReportAnswer("promote", (f"`{config.stable}` names it already",))
    if aliases.get(config.candidate) != digest:
        return ReportAnswer("moved_by_hand", (f"`{config.candidate}` does not name it any more",))
    return None


def apply_decision(config: SidecarConfig, digest: str, asked: ReportAnswer) -> ReportAnswer:
    """Move the aliases as the experiment decided, if it compared the versions that they name now; else `hold`.

    Raises:
        StoreBusy: another process writes the model; nothing was moved.
        PublishError: the store cannot be written.
    """

    def once() -> ReportAnswer:
        with writer(config.store, config.name) as directory:
            pointer = current_pointer(directory)
            aliases = pointer.aliases if pointer else {}
            if aliases.get(config.candidate) != digest:
                return ReportAnswer("hold", (f"`{config.candidate}` does not name it any more",), "moved")
            if asked.action == "roll_back":
                set_aliases(directory, {config.candidate: None})
            elif asked.control is None or aliases.get(config.stable) != asked.control:
                reason = f"it was compared with version {(asked.control or 'unknown')[:12]}, which `{config.stable}` "
                return ReportAnswer(
                    "hold", (reason + "does not name: compare it with the one that runs",), "other control"
                )
            else:
                set_aliases(directory, {config.stable: digest})
        return asked

    return retry_while_busy(once)
