"""Start a real service on the demo's store, ask it over HTTP as a user would, stop it."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plurality.core.rows import PreferenceRow

_EACH_KIND = 3
_STOP_S = 30


@contextmanager
def service(store: Path) -> Iterator[str]:
    """A `plurality serve` process on free loopback ports; yields the API's address."""
    command = [sys.executable, "-m", "plurality", "serve", "--store", str(store), "--port", "0", "--ops-port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own program
    try:
        yield _address(process)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_S)


def _address(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None  # noqa: S101 - it was asked for
    seen: list[str] = []
    for line in process.stderr:
        seen.append(line)
        if match := re.search(r'"api": "(http://[^"]+)"', line):
            return match.group(1)
    raise RuntimeError(f"the service did not start:\n{''.join(seen[-20:])}")


def ask(store: Path, models: Sequence[str], rows: Sequence[PreferenceRow], say: Callable[[str], None]) -> None:
    """Print rewards and probabilities of a few pairs of each kind beside the true p*."""
    chosen = [row for kind in ("objective", "subjective") for row in _some(rows, kind)]
    with service(store) as address:
        say(f"5. serving {', '.join(models)} at {address}; asking POST /rm/v1/preference")
        replies = {model: _preferences(address, model, chosen) for model in models}
    for index, row in enumerate(chosen):
        say(f"\n   [{row.category}, {row.source}] {row.prompt}\n     a: {row.response_a}\n     b: {row.response_b}")
        for model in models:
            pair = replies[model][index]
            rewards = f"{pair['a']['reward']:+.2f} {pair['b']['reward']:+.2f}"
            chances = f"raw {pair['raw_probability']:.2f}, calibrated {pair['probability']:.2f}"
            say(f"     {model:<14} rewards {rewards}   P(a preferred) {chances}   true p* {row.true_preference:.2f}")


def _some(rows: Sequence[PreferenceRow], kind: str) -> list[PreferenceRow]:
    """A few rows of a kind, each of another source."""
    by_source: dict[str, PreferenceRow] = {}
    for row in rows:
        if row.category == kind:
            by_source.setdefault(row.source, row)
    return list(by_source.values())[:_EACH_KIND]


def _preferences(address: str, model: str, rows: Sequence[PreferenceRow]) -> list[dict[str, Any]]:
    pairs = [{"prompt": r.prompt, "response_a": r.response_a, "response_b": r.response_b} for r in rows]
    request = urllib.request.Request(  # noqa: S310 - http, to the process that we started
        f"{address}/rm/v1/preference",
        json.dumps({"model": model, "pairs": pairs}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310 - as above
        found: list[dict[str, Any]] = json.load(reply)["pairs"]
    return found
