"""`plurality data`: preference sets, prepared and checked."""

import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.training.loaders.prepare import Label, Ties

if TYPE_CHECKING:
    from plurality.training.loaders.leaks import Leak
    from plurality.training.loaders.report import FileReport
    from plurality.training.split import Shares

data = typer.Typer(help="Preference sets: list them, prepare them, check files of pairs.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


@data.command("list")
def list_sets(as_json: AsJson = False) -> None:
    """List the known sets: name, approximate pairs, judges, license, requirements.

    Any other set of the hub with TRL's columns is prepared by its ORG/NAME.
    """
    from plurality.training.loaders.registry import SETS

    entries = [
        {
            "name": entry.name, "pairs": entry.pairs, "judged": entry.judged, "license": entry.license,
            "needs": entry.needs, "caution": entry.caution,
        }
        for entry in SETS.values()
    ]  # fmt: skip
    if as_json:
        typer.echo(msgspec.json.encode(entries))
        return
    for entry in entries:
        typer.echo(f"{entry['name']:<22} {entry['pairs']:>8} pairs  {entry['judged']}  [{entry['license']}]")
        typer.echo(f"{'':<22} needs {entry['needs']}")
        if entry["caution"]:
            typer.echo(f"{'':<22} note: {entry['caution']}")


@data.command("prepare")
def prepare_set(
    name: Annotated[str, typer.Argument(help="A set of `plurality data list`, or ORG/NAME of a TRL-style set.")],
    output: Annotated[Path, typer.Option(help="Folder for train, validation and test .jsonl and card.json.")],
    files: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Local copy of the set's own records: .jsonl, .json, .csv (or .gz), .parquet."),
    ] = None,
    test_files: Annotated[
        list[Path] | None, typer.Option("--test-from", help="Local copy of its official test split.")
    ] = None,
    split: Annotated[str, typer.Option(help="Shares of train,validation,test.")] = "0.9,0.05,0.05",
    seed: Annotated[int, typer.Option(help="Of the split, and of --label one.")] = 0,
    ties: Annotated[Ties, typer.Option(help="A tie has label 0.5.")] = "keep",
    label: Annotated[
        Label, typer.Option(help="as-given: the vote fraction where there are votes. one: one drawn judgement.")
    ] = "as-given",
    exclude: Annotated[
        list[Path] | None, typer.Option(help="Canonical file whose prompts must not be here; may be given again.")
    ] = None,
    hub_train: Annotated[str | None, typer.Option(help="The hub's split that is divided (default: train).")] = None,
    hub_test: Annotated[str | None, typer.Option(help="The hub's split that is test as it is.")] = None,
) -> None:
    """Read a set, drop what cannot be used, and split it by prompt into canonical rows.

    Nothing is dropped silently: pairs read = written + merged + dropped, by reason, on the screen and in card.json,
    with license, digests and the method of the split. Repeated pairs are merged, their judgements added up. A prompt,
    and what it hangs together with (debate, conversation, post), is on one side only; the official test split, where
    there is one, stays test, and its prompts leave train. With one seed, a prompt falls on the same side in every set
    (but for what it hangs together with). Answers a and b stand in an order that says nothing.

        plurality data prepare hh-rlhf --output data/hh

        plurality data prepare hh-rlhf --from train.jsonl.gz --test-from test.jsonl.gz --output data/hh

        plurality train --data data/hh/train.jsonl --validation data/hh/validation.jsonl --output runs/hh
    """
    from plurality.training.loaders.prepare import Plan, prepare
    from plurality.training.loaders.registry import find
    from plurality.training.loaders.sources import Origin

    plan = Plan(
        dataset=find(name),
        output=output,
        origin=Origin(tuple(files or ()), tuple(test_files or ()), hub_train, hub_test),
        shares=_shares(split),
        seed=seed,
        ties=ties,
        label=label,
        exclude=tuple(exclude or ()),
    )
    for line in _summary(prepare(plan, track=_progress)):
        typer.echo(line)
    typer.echo(f"-> {output}")


@data.command("check")
def check_files(
    files: Annotated[list[Path], typer.Argument(help="Files of canonical rows, .jsonl or .parquet.")],
    as_json: AsJson = False,
) -> None:
    """Check files of pairs: duplicates, contradictions, balance, votes, lengths, and what the files share.

    The exit code is 4 where two files share a prompt: then one of them cannot test what the other trained. Shared
    answers are reported, with ids of rows, and do not fail. Texts are never shown.

        plurality data check data/hh/train.jsonl data/hh/test.jsonl
    """
    from plurality.core.errors import ConfigurationError
    from plurality.training.load import load_rows
    from plurality.training.loaders.leaks import leaks
    from plurality.training.loaders.report import describe

    if len(set(files)) != len(files):
        raise ConfigurationError("the same file is given twice")
    rows = {}
    with typer.progressbar(files, label="reading", file=sys.stderr) as bar:
        for path in bar:
            rows[str(path)] = load_rows(path)
    reports = {name: describe(loaded) for name, loaded in rows.items()}
    found = leaks(rows)
    if as_json:
        report = {
            "files": {name: asdict(entry) for name, entry in reports.items()},
            "shared": [asdict(leak) for leak in found],
        }
        typer.echo(msgspec.json.encode(report))
    else:
        for line in [*_described(reports), *_shared(found)]:
            typer.echo(line)
    if any(leak.kind == "prompt" for leak in found):
        raise typer.Exit(4)


def _progress(records: Iterable[Any], label: str, length: int) -> Iterable[Any]:
    with typer.progressbar(records, label=label, length=length, file=sys.stderr) as bar:
        yield from bar


def _shares(text: str) -> "Shares":
    from plurality.core.errors import ConfigurationError

    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(f"--split {text[:40]!r}: give three shares, such as 0.8,0.1,0.1") from None
    return train, validation, test


def _summary(card: dict[str, Any]) -> list[str]:
    pairs = card["pairs"]
    lines = [
        f"{card['name']} [{card['license']}], judged by: {card['judged']}",
        f"{card['records']} records -> {pairs['read']} pairs read = {pairs['written']} written + {pairs['merged']} "
        f"merged + {sum(pairs['dropped'].values())} dropped; {pairs['contradicted']} repeated pairs contradict",
        *(f"  dropped {count:>7}  {reason}" for reason, count in pairs["dropped"].items()),
        *(f"  note    {count:>7}  {kind}" for kind, count in card["notes"].items()),
        *(
            f"  {part:<10} {entry['rows']:>7} pairs on {entry['prompts']} prompts, {entry['ties']} ties"
            for part, entry in card["parts"].items()
        ),
    ]
    lines += [f"  shared  {leak['rows']:>7}  {_leak_text(leak)}" for leak in card["shared_between_parts"]]
    return [*lines, f"note: {card['caution']}"] if card["caution"] else lines


def _described(reports: dict[str, "FileReport"]) -> list[str]:
    lines = []
    for name, report in reports.items():
        lines += [
            f"{name}: {report.rows} pairs on {report.prompts} prompts; from {', '.join(report.sources)}",
            f"  repeated pairs {report.duplicates} ({report.contradictions} contradict), same answers "
            f"{report.same_answers}, empty answers {report.empty_answers}",
            f"  a preferred {report.a_preferred:.3f}, ties {report.ties}, soft labels {report.soft_labels}, "
            f"longer answer preferred {_figure(report.longer_preferred)}",
            f"  votes on {report.with_votes} pairs: {_figure(report.votes_a_row)} a pair, unanimous "
            f"{_figure(report.unanimous)}, contested {_figure(report.contested)}",
            f"  characters: prompt {_lengths(report.prompt_characters)}; answer {_lengths(report.answer_characters)}",
        ]
    return lines


def _shared(found: Iterable["Leak"]) -> list[str]:
    lines = [f"shared: {leak.rows} rows, {_leak_text(asdict(leak))}" for leak in found]
    return lines or ["shared: nothing"]


def _leak_text(leak: dict[str, Any]) -> str:
    return f"same {leak['kind']} in {leak['first']} and {leak['second']}, such as {', '.join(leak['examples'])}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _lengths(quantiles: dict[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in quantiles.items())
