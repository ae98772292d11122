"""`plurality experiment compare`: offline, by the code of /rm/v1/compare, with intervals; the others ask a service."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.cli import experiment_remote
from service.domain import Device

if TYPE_CHECKING:
    from plurality.stats.paired import Figure
    from service.domain import ScoreItem
    from service.experiments.compare import Comparison
    from service.scoring import Scored, Scorer

experiment = typer.Typer(
    help="Compare versions: offline on a file of pairs, or on a running service.", no_args_is_help=True
)
_WINDOW = 64
_NO_DEADLINE_S = 24 * 3600.0
_SELECTOR_DIGITS = 32


experiment.command("list")(experiment_remote.every)
experiment.command("show")(experiment_remote.show)
experiment.command("put")(experiment_remote.put)
experiment.command("stop")(experiment_remote.stop)
experiment.command("report")(experiment_remote.report)


@experiment.command()
def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="name, name@alias or name@digest: what B is compared with.")
    ],
    other: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    data: Annotated[Path, typer.Argument(metavar="DATA.jsonl", help="Pairs, labeled or not.", exists=True)],
    store: Annotated[Path | None, typer.Option(help="Model store. [env: PLURALITY_STORE]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    bootstrap: Annotated[int, typer.Option(min=1, help="Resamples of whole prompts behind each interval.")] = 1000,
    device: Annotated[Device | None, typer.Option(help="cpu, cuda or tensorrt.")] = None,
) -> None:
    """How two versions differ on the same pairs, and which predicts people better.

    A line of the data is {prompt | messages, response_a, response_b} with, where known, label (P(a preferred)),
    votes {a, b, tie} or true_preference, as `plurality data prepare` writes them. Without any of these there is
    agreement, flips, rank correlation and shifts; with labels also accuracy, ECE, Brier and NLL; with votes Pearson and
    L1. Intervals are over whole prompts, for differences paired. Bad lines stop the run before it starts (exit code 3);
    pairs that a version cannot score are counted and left out (exit code 5).

        plurality experiment compare demo@stable demo@candidate .demo/data/test.jsonl --store .demo/store
    """
    from plurality.core.rows import ComparedRow
    from plurality.stats.paired import Resampling
    from plurality.training.load import read_rows
    from service.experiments.compare import compare as compare_versions
    from service.experiments.comparison_input import judged_pairs

    rows = read_rows(data, ComparedRow)
    overrides = {"store": store, "log_level": "warning", "runtime": {"device": device}}
    items = [item for row in rows for item in row.pair.items]
    pairs = judged_pairs(rows, [row.true_preference for row in rows])
    versions = asyncio.run(_score_all(items, (first, other), overrides))
    prompts = [key for row in rows for key in [row.prompt_key] * 2]
    found = compare_versions(versions, prompts, pairs, resampling=Resampling(bootstrap))
    for line in [msgspec.json.encode(found)] if as_json else _lines(found):
        typer.echo(line)
    if found.items_left_out:
        typer.secho(f"{found.items_left_out} of {len(items)} items were left out", err=True, fg=typer.colors.YELLOW)
        raise typer.Exit(5)


async def _score_all(items: "Sequence[ScoreItem]", selectors: Sequence[str], overrides: dict[str, Any]) -> list[Any]:
    from service.app import build_service, running
    from service.experiments.comparison_input import version_scores
    from service.settings import read_settings
    from service.telemetry.logs import configure_logs

    settings = read_settings(overrides, os.environ)
    configure_logs(settings.log_level)
    versions = []
    async with running(build_service(settings)) as service:
        with typer.progressbar(length=len(items) * len(selectors), label="scoring", file=sys.stderr) as bar:
            for selector in selectors:
                scored = await _score(service.scorer, items, selector, bar)
                versions.append(version_scores(scored, scored[0].manifest.model))
    return versions


async def _score(scorer: "Scorer", items: "Sequence[ScoreItem]", selector: str, bar: Any) -> "list[Scored]":
    """All items by the one version that the selector named at first."""
    from service.domain import ScoreQuery

    deadline = asyncio.get_running_loop().time() + _NO_DEADLINE_S
    found: list[Scored] = []
    for start in range(0, len(items), _WINDOW):
        window = items[start : start + _WINDOW]
        found.append(await scorer.score(ScoreQuery(window, selector, deadline)))
        selector = f"{found[0].manifest.model}@{found[0].digest[:_SELECTOR_DIGITS]}"
        bar.update(len(window))
    return found


def _lines(found: "Comparison") -> list[str]:
    lines = []
    for version in found.versions:
        lines.append(f"{version.name}: {version.labeled} labeled pairs, {version.voted} with votes")
        lines += [f"  {name:<12} {_figure(figure)}" for name, figure in version.figures.items()]
        if floor := version.ece_noise_floor:
            lines.append(f"  {'noise floor':<12} {floor.mean:.4f} [{floor.low:.4f}, {floor.high:.4f}]  of ECE")
    for entry in found.differences:
        lines.append(f"{entry.other} less {entry.first}: {entry.pairs} pairs, {entry.flips} ordered differently")
        named = {
            "agreement": entry.agreement,
            "ranks": entry.rank_correlation,
            "reward / T": entry.reward_shift,
            "|dP|": entry.probability_shift,
            **entry.differences,
        }
        lines += [f"  {name:<12} {_figure(figure)}" for name, figure in named.items() if figure]
        if entry.probability_shift_p95 is not None:
            lines.append(f"  {'|dP| p95':<12} {entry.probability_shift_p95:.4f}")
    return lines


def _figure(figure: "Figure") -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.estimate:+.4f}  no interval: {figure.note}"
    return f"{figure.estimate:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"
