"""Options made of the fields of a settings class."""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from plurality.cli.app import app
from plurality.cli.options import fields_as_options
from plurality.training.config import TrainConfig
from plurality.training.judge.settings import JudgeSettings
from service.bundle.manifest import Precision


def commands() -> Iterator[tuple[type[BaseModel], Any]]:
    """The settings classes, with the options of their verbs."""
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    yield TrainConfig, verbs["train"]
    yield JudgeSettings, verbs["judge"]


@pytest.mark.parametrize(("settings", "command"), list(commands()), ids=["train", "judge"])
def test_every_field_is_an_option(settings: type[BaseModel], command: Any) -> None:
    """With the field's description as help, its default, and the values of its Literal."""
    options = {option.name: option for option in command.params}
    for name, field in settings.model_fields.items():
        assert options[name].help, name
        if name in {"extra", "model", "data", "output"}:
            continue
        assert options[name].help == field.description
        assert options[name].default == field.default
        if values := [it for it in get_args(field.annotation) if isinstance(it, str)]:
            assert "|".join(values) in CliRunner().invoke(app, [command.name, "--help"]).output


def test_what_the_verb_receives() -> None:
    """Fields as keyword arguments beside the verb's own options; required ones must be given."""

    class Settings(BaseModel, use_attribute_docstrings=True):
        size: int
        """How large."""
        kind: Literal["x", "y"] = "x"
        fast: bool = False

    got: list[dict[str, Any]] = []
    app = typer.Typer()

    @app.command()
    @fields_as_options(Settings)
    def verb(*, own: str = "o", **fields: Any) -> None:
        got.append(fields | {"own": own})

    assert CliRunner().invoke(app, ["--size", "3", "--kind", "y", "--fast"]).exit_code == 0
    assert got == [{"size": 3, "kind": "y", "fast": True, "own": "o"}]
    assert CliRunner().invoke(app, ["--kind", "y"]).exit_code == 2
    assert CliRunner().invoke(app, ["--size", "3", "--kind", "z"]).exit_code == 2
    assert CliRunner().invoke(app, ["--size", "3", "--no-fast"]).exit_code == 2


@pytest.mark.parametrize("verb", ["export", "import"])
def test_unknown_precision(verb: str) -> None:
    """A precision that there is none of is wrong usage, with the names of those that there are."""
    words = [verb, "model", "--store", "store", "--name", "name", "--precision", "fp31"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code != 0
    assert all(name in done.output + str(done.exception) for name in get_args(Precision))
