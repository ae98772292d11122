"""`plurality score`: a file through the service's own Scorer, without a server."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.cli.output import sink
from service.domain import Device

if TYPE_CHECKING:
    from service.scoring import Scorer

_WINDOW = 64
_NO_DEADLINE_S = 24 * 3600.0


def score(
    file: Annotated[Path, typer.Argument(help="JSONL: one {prompt, response} a line; an `id` is passed through.")],
    store: Annotated[Path | None, typer.Option(help="Model store. [env: PLURALITY_STORE]")] = None,
    model: Annotated[str | None, typer.Option(help="name, name@alias or name@digest.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the rewards go (default: standard output).")] = None,
    device: Annotated[Device | None, typer.Option(help="cpu, cuda or tensorrt.")] = None,
) -> None:
    """Score a JSONL file without a server, by the very code that the server runs.

    prompt is a text, or a list of {role, content}. Each line of the output holds line, id, reward, tokens,
    truncated, cut_tokens and the version that scored it, in the order of the input; a line that cannot be scored
    holds its error instead, and the exit code is then 5. Lines that are not of this shape stop the run before it
    starts (exit code 3, each line named).

        plurality score answers.jsonl --store .demo/store --model demo-margin > rewards.jsonl
    """
    items = _read(file)
    overrides = {"store": store, "log_level": "warning", "runtime": {"device": device}}
    with sink(output) as file_out:
        failed = asyncio.run(_score_all(items, overrides, model, file_out))
    if failed:
        typer.secho(f"{failed} of {len(items)} items have an error of their own", err=True, fg=typer.colors.YELLOW)
        raise typer.Exit(5)


def _read(file: Path) -> list[tuple[int, Any, Any]]:
    """(line, id, wire item) of every line; raises DataError with all bad ones."""
    from plurality.training.errors import BadRow, DataError
    from service.wire import WireItem, malformed

    items: list[tuple[int, Any, Any]] = []
    bad: list[BadRow] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                raw = msgspec.json.decode(line)
                identity = raw.pop("id", None) if isinstance(raw, dict) else None
                items.append((number, identity, msgspec.convert(raw, WireItem)))
            except RecursionError:
                bad.append(BadRow(number, "nested too deeply"))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                bad.append(BadRow(number, malformed(error).message))
    if bad:
        raise DataError(file.name, bad)
    return items


async def _score_all(
    items: Sequence[tuple[int, Any, Any]], overrides: dict[str, Any], model: str | None, output: IO[bytes]
) -> int:
    from service.app import build_service, running
    from service.settings import read_settings
    from service.telemetry.logs import configure_logs

    settings = read_settings(overrides, os.environ)
    configure_logs(settings.log_level)
    async with running(build_service(settings)) as service:
        failed = 0
        with typer.progressbar(length=len(items), label="scoring", file=sys.stderr) as bar:
            for window in _windows(items):
                failed += await _score_window(service.scorer, window, model, output)
                bar.update(len(window))
    return failed


def _windows(items: Sequence[tuple[int, Any, Any]]) -> Iterator[Sequence[tuple[int, Any, Any]]]:
    for start in range(0, len(items), _WINDOW):
        yield items[start : start + _WINDOW]


async def _score_window(
    scorer: "Scorer", window: Sequence[tuple[int, Any, Any]], model: str | None, output: IO[bytes]
) -> int:
    from service.domain import Reward, ScoreQuery
    from service.telemetry.metrics import SHORT_DIGEST
    from service.wire import ScoredItem, to_item

    deadline = asyncio.get_running_loop().time() + _NO_DEADLINE_S
    wires = [to_item(wire.prompt, wire.response) for _, _, wire in window]
    scored = await scorer.score(ScoreQuery(wires, model, deadline))
    version = f"{scored.manifest.model}@{scored.digest[:SHORT_DIGEST]}"
    for (line, identity, _), outcome in zip(window, scored.outcomes, strict=True):
        entry = {"line": line, "id": identity, **msgspec.to_builtins(ScoredItem.of(outcome)), "model": version}
        output.write(msgspec.json.encode(entry) + b"\n")
    return sum(not isinstance(outcome, Reward) for outcome in scored.outcomes)
