"""`plurality feedback`: what people said, from the database itself; no service need run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.cli.output import sink
from service.feedback.records import Rows

if TYPE_CHECKING:
    from service.feedback.database import FeedbackStore

feedback = typer.Typer(help="People's votes: export them as rows, delete a voter, count.", no_args_is_help=True)
Url = Annotated[
    str,
    typer.Option(help="sqlite:///FILE or postgresql://...: the service's own.", envvar="PLURALITY_FEEDBACK__URL"),
]
_CHUNK = 100


@feedback.command("export")
def export(
    url: Url,
    output: Annotated[Path | None, typer.Option(help="JSONL file (default: standard output).")] = None,
    model: Annotated[str | None, typer.Option(help="Votes on this model's pairs alone.")] = None,
    after: Annotated[int, typer.Option(min=0, help="The cursor of an earlier export: what is new since.")] = 0,
    rows: Annotated[Rows, typer.Option(help="A row a pair, with all its votes, or a row a vote.")] = "pairs",
) -> None:
    """Write votes as rows that `plurality train`, `evaluate` and `calibrate` read.

    The cursor to go on from is said on standard error.

        plurality feedback export --url sqlite:///votes.db --output votes.jsonl
    """
    from service.feedback.export import json_line, training_rows

    with _opened(url) as store, sink(output) as file:
        until = store.cursor()
        lines = map(json_line, training_rows(store, rows, model=model, after=after, until=until))
        count = 0
        while chunk := list(islice(lines, _CHUNK)):
            file.write(b"".join(chunk))
            count += len(chunk)
    typer.echo(f"{count} rows; cursor {until}", err=True)


@feedback.command("delete")
def delete(url: Url, voter: Annotated[str, typer.Argument(help="The voter's key.")]) -> None:
    """Delete a voter's votes and their predictions."""
    with _opened(url) as store:
        typer.echo(f"deleted {store.delete_voter(voter)} votes")


@feedback.command("stats")
def stats(url: Url, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Count votes by model, voters, pairs and remembered replies."""
    with _opened(url) as store:
        found = store.stats()
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for line in _lines(found):
        typer.echo(line)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    for model, kinds in found["models"].items():
        yield f"{model}: {kinds['choices']} choices, {kinds['graded']} estimates"
    yield (
        f"{found['voters']} voters, {found['pairs']} pairs, {found['predictions']} predictions, "
        f"{found['remembered']} remembered pairs; cursor {found['cursor']}"
    )


@contextmanager
def _opened(url: str) -> Iterator["FeedbackStore"]:
    from service.feedback.database import FeedbackStore
    from service.telemetry.logs import configure_logs

    configure_logs("warning")
    store = FeedbackStore(url, create=False)
    try:
        store.open()
        yield store
    finally:
        store.close()
        sys.stdout.flush()
