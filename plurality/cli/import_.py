"""`plurality import`."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from plurality.cli.options import Name, Precisions, Store, checked_precisions
from plurality.core.errors import ConfigurationError
from service.domain import UpstreamKind


def import_model(
    source: Annotated[
        str, typer.Argument(help="Hub id or directory of a sequence classifier with one label; with --upstream a URL.")
    ],
    store: Store,
    name: Name,
    precision: Precisions = ["fp32"],  # noqa: B006 - typer copies it
    alias: Annotated[str, typer.Option(help="Moves to the new version.")] = "stable",
    max_length: Annotated[int | None, typer.Option(help="Tokens an item (default: the model's, at most 2048).")] = None,
    upstream: Annotated[
        UpstreamKind | None, typer.Option(help="SOURCE is the URL of such a server; it goes on computing the rewards.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="With --upstream: hub id or directory of the model's tokenizer and config.json.")
    ] = None,
    upstream_model: Annotated[
        str | None, typer.Option(help="With --upstream: the model's name there (default: the --tokenizer).")
    ] = None,
) -> None:
    """Turn any Hugging Face reward model into a published bundle, in one step.

    The input format is detected from the tokenizer (a pair for encoders, the chat template for decoders) and shown;
    the ONNX file is checked against torch. The version is marked uncalibrated, and replies say so, until
    `plurality calibrate` has seen labeled pairs.

        plurality import OpenAssistant/reward-model-deberta-v3-large-v2 --store store --name oa-deberta

    With --upstream no weights are read: the version's rewards are the raw logits of a running server (vLLM, SGLang,
    or another `plurality serve`), asked for by token ids. Calibration, experiments, votes and monitoring work in front
    of it. Known texts are scored again at every load and every ten seconds: a server that was restarted with other
    weights goes out of service, by name.

        plurality import http://127.0.0.1:8000 --upstream vllm --tokenizer Skywork/Skywork-Reward-V2-Llama-3.1-8B \
--store store --name skywork
    """
    if upstream is not None:
        _import_upstream(source, upstream, tokenizer, upstream_model, store, name, alias, max_length)
        return
    from model_export.checkpoint import open_checkpoint
    from model_export.describe import describe_format
    from model_export.pipeline import Target, export

    target = Target(store, name, checked_precisions(precision), (alias,))
    checkpoint = open_checkpoint(source, max_length=max_length)
    typer.echo(describe_format(checkpoint.tokenizer))
    for entry in export(checkpoint, target, center=False, say=typer.echo):
        typer.echo(f"published {name}@{entry.digest[:12]} ({entry.manifest.precision}) as {', '.join(entry.aliases)}")
    _say_uncalibrated(store, name)


def _say_uncalibrated(store: Path, name: str) -> None:
    typer.echo(f"uncalibrated: run `plurality calibrate {name} --store {store} --data LABELED_PAIRS.jsonl`")


def _import_upstream(
    url: str,
    kind: UpstreamKind,
    tokenizer: str | None,
    model: str | None,
    store: Path,
    name: str,
    alias: str,
    max_length: int | None,
) -> None:
    from model_export.upstream import UpstreamTarget, import_upstream
    from service.bundle.manifest import Upstream

    if tokenizer is None:
        raise ConfigurationError("--upstream needs --tokenizer: where the model's tokenizer and config.json are")
    try:
        upstream = Upstream(kind=kind, url=url.rstrip("/"), model=model or tokenizer)
    except ValidationError:
        raise ConfigurationError("SOURCE is no URL such as http://127.0.0.1:8000, without user and password") from None
    target = UpstreamTarget(store, name, alias)
    published = import_upstream(upstream, tokenizer, target, max_length=max_length, say=typer.echo)
    typer.echo(f"published {name}@{published.digest[:12]} in front of {upstream.url} as {alias}")
    _say_uncalibrated(store, name)
