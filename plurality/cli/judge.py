"""`plurality judge`."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from plurality.cli.options import fields_as_options
from plurality.training.judge.settings import JudgeSettings

if TYPE_CHECKING:
    from plurality.core.rows import PreferenceRow
    from plurality.training.judge.cache import Cache
    from plurality.training.judge.client import Endpoint
    from plurality.training.judge.estimate import Estimate
    from plurality.training.judge.run import Outcome, Spent

_DEFAULT_KEY = "OPENAI_API_KEY"


@fields_as_options(JudgeSettings, without=("extra",))
def judge(
    *,
    data: Annotated[Path, typer.Option(help="Preference pairs, .jsonl or .parquet.")],
    output: Annotated[Path, typer.Option(help="The same rows with their judgements, .jsonl.")],
    endpoint: Annotated[str, typer.Option(help="OpenAI-compatible base URL, usually ending in /v1.")],
    extra: Annotated[
        str | None, typer.Option(help="JSON object: fields to add to each request's body; null takes one out.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Replies already paid for (default: OUTPUT.cache.jsonl).")] = None,
    replace_margin: Annotated[
        bool, typer.Option("--replace-margin", help="Write the judge's margin also where votes or a margin are.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at once, at most.")] = 16,
    requests_per_minute: Annotated[float | None, typer.Option(min=0.001, help="At most; evenly spread.")] = None,
    timeout_s: Annotated[float, typer.Option(min=0.1, help="For one attempt.")] = 120.0,
    attempts: Annotated[int, typer.Option(min=1, help="A request: 429, 5xx and lost connections are repeated.")] = 8,
    max_failures: Annotated[int, typer.Option(min=0, help="Pairs that may fail on their own before it stops.")] = 10,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable with the key; never logged, cached or written.")
    ] = _DEFAULT_KEY,
    price_per_million_input: Annotated[float | None, typer.Option(min=0, help="For the estimate.")] = None,
    price_per_million_output: Annotated[float | None, typer.Option(min=0, help="For the estimate.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked and what it costs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the start.")] = False,
    **fields: Any,
) -> None:
    """Let a language model judge preference pairs: q = P(a preferred), its margin |2q - 1|, and where they come from.

    The prompt is that of arXiv 2412.03822, word for word. Mode logprob (default) reads the exact probabilities of the
    labels A and B in both orders, q = σ(½[logit P(A|a,b) + logit P(B|b,a)]): no sampling noise, and a constant
    position bias cancels. Mode sample asks n times, as the paper does.

    Sampling saturates. Nucleus sampling at 0.9 makes every judge with P >= 0.9 unanimous (margin 1), at temperature
    0.6 already P >= 0.8; and with n = 10 a true tie gets a margin of 0.25 on average. Prefer logprob where the
    endpoint has log probabilities. Neither says how far people disagree: look at the agreement that is printed.

    Each row keeps what it had and gets `judge` (q, n, parsed, unparsable, both orders, model, settings) and, where it
    has neither votes nor a margin, `margin`: ready for `plurality train --objective margin`. Nothing is made up: a
    pair without a readable answer keeps no margin, is listed in OUTPUT.report.json, and the exit code is then 5.

    Every reply is cached by what was asked: killed or stopped, the same command goes on where it was.

        plurality judge --data pairs.jsonl --output judged.jsonl --endpoint http://127.0.0.1:8000/v1 \
--model meta-llama/Meta-Llama-3-70B-Instruct --dry-run
    """
    from plurality.training.judge.cache import Cache
    from plurality.training.judge.client import Endpoint
    from plurality.training.judge.estimate import Prices, estimate
    from plurality.training.load import load_rows

    settings = _settings(extra, fields)
    place = Endpoint(endpoint, _api_key(api_key_env), timeout_s, attempts, requests_per_minute)
    _check_output(output)
    rows = load_rows(data)
    with Cache(cache or output.with_name(f"{output.name}.cache.jsonl")) as kept:
        prices = Prices(price_per_million_input, price_per_million_output)
        planned = estimate(rows, settings, kept, prices)
        for line in planned.lines():
            typer.echo(line)
        if dry_run:
            return
        _confirm(planned, yes)
        outcomes, spent = asyncio.run(_run(rows, settings, kept, place, concurrency, max_failures))
    if used := prices.cost(spent.prompt_tokens, spent.answer_tokens):
        typer.echo(f"spent about {used:.4g} on {spent.prompt_tokens} prompt and {spent.answer_tokens} answer tokens")
    if not _write(output, rows, outcomes, settings, spent, replace_margin=replace_margin):
        raise typer.Exit(5)


def _settings(extra: str | None, fields: dict[str, Any]) -> JudgeSettings:
    from pydantic import ValidationError

    from plurality.training.errors import TrainingError

    try:
        more = msgspec.json.decode(extra, type=dict[str, Any]) if extra else {}
        return JudgeSettings.model_validate(fields | {"extra": more})
    except msgspec.DecodeError:
        raise TrainingError("--extra is not a JSON object") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
        raise TrainingError(f"--{name}: {first['msg']}") from None


def _api_key(variable: str) -> str | None:
    """Read the key from the environment; None where no variable is named, since a local server needs no key."""
    from plurality.training.errors import TrainingError

    key = os.environ.get(variable, "").strip() or None
    if key is None and variable != _DEFAULT_KEY:
        raise TrainingError(f"--api-key-env: {variable} is not set")
    return key


def _check_output(output: Path) -> None:
    from plurality.training.errors import TrainingError

    if output.suffix != ".jsonl":
        raise TrainingError(f"{output.name}: expected a .jsonl file")
    output.parent.mkdir(parents=True, exist_ok=True)


def _confirm(planned: "Estimate", yes: bool) -> None:
    from plurality.training.errors import TrainingError

    if yes or not planned.requests:
        return
    if not sys.stdin.isatty():
        raise TrainingError("pass --yes to send these requests, or --dry-run to only see the estimate")
    typer.confirm("send these requests?", abort=True)


async def _run(
    rows: "list[PreferenceRow]",
    settings: JudgeSettings,
    cache: "Cache",
    place: "Endpoint",
    concurrency: int,
    max_failures: int,
) -> "tuple[list[Outcome], Spent]":
    from tqdm import tqdm

    from plurality.training.judge.client import Client
    from plurality.training.judge.run import Judge, judge_rows

    with tqdm(total=len(rows), desc="judging", unit="pair", file=sys.stderr) as bar:
        async with Client(place, concurrency=concurrency) as client:

            def tick(spent: "Spent") -> None:
                counts = {"asked": spent.requests, "cached": spent.cached, "repeated": client.retries}
                bar.set_postfix(counts | {"unreadable": spent.unreadable, "failed": spent.failed}, refresh=False)
                bar.update()

            asker = Judge(settings, cache, client)
            found = await judge_rows(rows, asker, concurrency=concurrency, max_failures=max_failures, tick=tick)
            return found, asker.spent


def _write(
    output: Path,
    rows: "list[PreferenceRow]",
    outcomes: "list[Outcome]",
    settings: JudgeSettings,
    spent: "Spent",
    *,
    replace_margin: bool,
) -> bool:
    """Rows and report; whether every pair has a judgement."""
    from plurality.training.judge.output import judged_rows, write_report, write_rows
    from plurality.training.judge.report import lines, report

    found = report(rows, outcomes)
    write_report(output.with_name(f"{output.name}.report.json"), found, settings, spent)
    write_rows(output, judged_rows(rows, outcomes, replace_margin=replace_margin))
    for line in lines(found):
        typer.echo(line)
    if 2 * len(found["unjudged"]) > len(rows) and settings.mode == "logprob" and settings.label == "prefill":
        typer.echo("does the endpoint go on from a given start of the answer? if not: --label generate")
    typer.echo(f"next: plurality train --data {output} --objective margin --output CHECKPOINT")
    return bool(found["judged"] == found["pairs"])
