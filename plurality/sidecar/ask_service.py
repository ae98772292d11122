"""Asks the service over its public HTTP API what an experiment's report decides about a candidate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from plurality.core.errors import ConfigurationError
from plurality.core.keys import first_key

_TIMEOUT_S = 30.0
_ACTIONS = frozenset({"promote", "hold", "roll_back"})


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """An experiment's answer about one version."""

    action: str
    """`promote`, `hold` or `roll_back`; `moved_by_hand` if the aliases were changed by another process or a person."""
    reasons: tuple[str, ...]
    kind: str = "verdict"
    """Kind of reason: the loop logs a hold once per kind, though its figures change."""
    control: str | None = None
    """Digest of the version that it was compared with."""


def ask_service(service: str, experiment: str, digest: str, key_file: Path | None = None) -> ReportAnswer:
    """Fetch the decision on one version; anything but a clear answer is `hold`, with the reason."""
    url = f"{service.rstrip('/')}/rm/v1/experiments/{experiment}/report"
    try:
        headers = {"authorization": f"Bearer {first_key(key_file)}"} if key_file else {}
        reply = httpx.get(url, headers=headers, timeout=_TIMEOUT_S)
    except ConfigurationError as error:
        return ReportAnswer("hold", (f"service_key_file: {error.message}",), "key")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ReportAnswer("hold", (f"the service did not answer: {type(error).__name__}",), "silent")
    if not reply.is_success:
        return ReportAnswer("hold", (_refusal(reply.status_code, experiment),), f"status {reply.status_code}")
    try:
        return read_report(reply.json(), digest)
    except ValueError:
        return _not_a_report()


def read_report(body: Any, digest: str) -> ReportAnswer:
    """Read the decision on one version out of a report's JSON."""
    try:
        for arm in body["arms"]:
            report, verdict = arm["report"], arm["verdict"]
            if report is not None and report["treatment"]["version"] == digest and verdict["action"] in _ACTIONS:
                reasons = tuple(str(reason) for reason in verdict["reasons"])
                return ReportAnswer(verdict["action"], reasons, control=report["control"]["version"])
    except (KeyError, TypeError):
        return _not_a_report()
    reason = "the experiment does not compare this version with its control yet"
    return ReportAnswer("hold", (reason,), "not compared")


def _not_a_report() -> ReportAnswer:
    return ReportAnswer("hold", ("what answered is no experiment's report: is `service` its URL?",), "odd")


def _refusal(status: int, experiment: str) -> str:
    if status in {401, 403}:
        return f"the service refuses the report ({status}): set `service_key_file` to a file with a key that it takes"
    if status == 404:
        return f"the service has no report of an experiment {experiment!r} (404): define it, or correct the name"
    return f"the service answered {status}"
