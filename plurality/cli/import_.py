"""`plurality import`."""

from typing import Annotated

import typer

from plurality.cli.options import Name, Precisions, Store, checked_precisions


def import_model(
    source: Annotated[str, typer.Argument(help="Hub id or directory of a sequence classifier with one label.")],
    store: Store,
    name: Name,
    precision: Precisions = ["fp32"],  # noqa: B006 - typer copies it
    alias: Annotated[str, typer.Option(help="Moves to the new version.")] = "stable",
    max_length: Annotated[int | None, typer.Option(help="Tokens an item (default: the model's, at most 2048).")] = None,
) -> None:
    """Turn any Hugging Face reward model into a published bundle, in one step.

    The input format is detected from the tokenizer (a pair for encoders, the chat template for decoders) and shown;
    the ONNX file is checked against torch. The version is marked uncalibrated, and replies say so, until
    `plurality calibrate` has seen labeled pairs.

        plurality import OpenAssistant/reward-model-deberta-v3-large-v2 --store store --name oa-deberta
    """
    from model_export.checkpoint import open_checkpoint
    from model_export.describe import describe_format
    from model_export.pipeline import Target, export

    target = Target(store, name, checked_precisions(precision), (alias,))
    checkpoint = open_checkpoint(source, max_length=max_length)
    typer.echo(describe_format(checkpoint.tokenizer))
    for entry in export(checkpoint, target, center=False, say=typer.echo):
        typer.echo(f"published {name}@{entry.digest[:12]} ({entry.manifest.precision}) as {', '.join(entry.aliases)}")
    typer.echo(f"uncalibrated: run `plurality calibrate {name} --store {store} --data LABELED_PAIRS.jsonl`")
