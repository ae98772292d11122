"""What the experiment says of a candidate: asked over HTTP, as anybody else would."""

from dataclasses import dataclass
from typing import Any

import httpx

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Asked:
    """An experiment's answer about one version."""

    action: str
    """`promote`, `hold` or `roll_back`."""
    reasons: tuple[str, ...]


def ask(service: str, experiment: str, digest: str) -> Asked:
    """The verdict on this very version; whatever is unclear is `hold`, with the reason."""
    url = f"{service.rstrip('/')}/rm/v1/experiments/{experiment}/report"
    try:
        reply = httpx.get(url, timeout=_TIMEOUT_S)
        reply.raise_for_status()
        body: dict[str, Any] = reply.json()
    except (httpx.HTTPError, ValueError) as error:
        return Asked("hold", (f"the service did not answer: {type(error).__name__}",))
    return read(body, digest)


def read(body: dict[str, Any], digest: str) -> Asked:
    """The verdict in a report, if it is about this version."""
    for arm in body["arms"]:
        report, verdict = arm["report"], arm["verdict"]
        if report is not None and report["treatment"]["version"] == digest:
            return Asked(verdict["action"], tuple(verdict["reasons"]))
    return Asked("hold", ("the experiment does not compare this version with its control yet",))
