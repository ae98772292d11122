"""`plurality score`: a file through the service's own Scorer, without a server."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import typer

from plurality.cli.output import sink
from plurality.cli.scoring import score_windows, scorer_of
from service.domain import Device


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
    with sink(output) as file_out:
        failed = asyncio.run(_score_all(items, store, model, device, file_out))
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
    items: Sequence[tuple[int, Any, Any]],
    store: Path | None,
    model: str | None,
    device: Device | None,
    output: IO[bytes],
) -> int:
    """Write a line an item; returns how many have no reward."""
    from service.domain import Reward
    from service.telemetry.metrics import SHORT_DIGEST
    from service.wire import ScoredItem, to_item

    failed = 0
    named = iter(items)
    wires = [to_item(wire.prompt, wire.response) for _, _, wire in items]
    async with scorer_of(store, device) as scorer:
        with typer.progressbar(length=len(items), label="scoring", file=sys.stderr) as bar:
            async for scored in score_windows(scorer, wires, model):
                version = f"{scored.manifest.model}@{scored.digest[:SHORT_DIGEST]}"
                for outcome, (line, identity, _) in zip(scored.outcomes, named, strict=False):
                    reward = msgspec.to_builtins(ScoredItem.of(outcome))
                    entry = {"line": line, "id": identity, **reward, "model": version}
                    output.write(msgspec.json.encode(entry) + b"\n")
                failed += sum(not isinstance(outcome, Reward) for outcome in scored.outcomes)
                bar.update(len(scored.outcomes))
    return failed
