"""`plurality judge`."""

import asyncio
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

if TYPE_CHECKING:
    from plurality.core.rows import PreferenceRow
    from plurality.training.judge.cache import Cache
    from plurality.training.judge.client import Endpoint
    from plurality.training.judge.estimate import Estimate
    from plurality.training.judge.run import Outcome, Spent
    from plurality.training.judge.settings import JudgeSettings

_DEFAULT_KEY = "OPENAI_API_KEY"


class JudgeMode(StrEnum):
    """How q is found."""

    logprob = "logprob"
    sample = "sample"


class LabelOption(StrEnum):
    """Where the label token is."""

    prefill = "prefill"
    generate = "generate"


class OrdersOption(StrEnum):
    """Which answer is shown first."""

    balanced = "balanced"
    paper = "paper"


def judge(
    data: Annotated[Path, typer.Option(help="Preference pairs, .jsonl or .parquet.")],
    output: Annotated[Path, typer.Option(help="The same rows with their judgements, .jsonl.")],
    endpoint: Annotated[str, typer.Option(help="OpenAI-compatible base URL, usually ending in /v1.")],
    model: Annotated[str, typer.Option(help="The judge, as the endpoint names it.")],
    mode: Annotated[
        JudgeMode, typer.Option(help="logprob: exact, two requests a pair. sample: the paper's n answers.")
    ] = JudgeMode.logprob,
    label: Annotated[
        LabelOption,
        typer.Option(
            help="logprob: prefill starts the answer with 'Choice:' and asks for one token (vLLM's "
            "continue_final_message); generate lets the judge write it and finds the label (OpenAI and others)."
        ),
    ] = LabelOption.prefill,
    top_logprobs: Annotated[int, typer.Option(help="logprob: how many tokens to list; both labels must be in.")] = 20,
    min_covered: Annotated[
        float, typer.Option(help="logprob: less mass than this on the labels is no judgement (a refusal).")
    ] = 0.5,
    n: Annotated[int, typer.Option("--n", help="sample: answers a pair (paper: 10).")] = 10,
    orders: Annotated[
        OrdersOption, typer.Option(help="sample: balanced shows each answer first in half of n; paper never swaps.")
    ] = OrdersOption.balanced,
    temperature: Annotated[
        float, typer.Option(help="sample: always sent. The paper states none; Llama-3's own default is 0.6.")
    ] = 1.0,
    top_p: Annotated[float, typer.Option(help="sample: nucleus sampling (paper: 0.9).")] = 0.9,
    max_tokens: Annotated[int, typer.Option(help="Longest answer; reasoning models need many more.")] = 16,
    choices_per_request: Annotated[
        int | None, typer.Option(help="sample: for endpoints that refuse n above this (default: all at once).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="sample: each request gets a seed derived from it (default: none is sent).")
    ] = None,
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

    settings = _settings(
        model=model,
        mode=mode.value,
        label=label.value,
        top_logprobs=top_logprobs,
        min_covered=min_covered,
        n=n,
        orders=orders.value,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        choices_per_request=choices_per_request,
        seed=seed,
        extra=extra,
    )
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


def _settings(*, extra: str | None, **fields: Any) -> "JudgeSettings":
    from pydantic import ValidationError

    from plurality.training.errors import TrainingError
    from plurality.training.judge.settings import JudgeSettings

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
    """None only where nobody asked for a key: a local server needs none."""
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
    settings: "JudgeSettings",
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
    settings: "JudgeSettings",
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
