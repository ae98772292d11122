"""Options that several verbs share, and options that are the fields of a settings class: declared there, read here."""

from collections.abc import Callable, Collection, Mapping
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.bundle.manifest import Precision

Store = Annotated[Path, typer.Option(help="Model store: <store>/<model>/versions/<digest>/.", envvar="PLURALITY_STORE")]
Name = Annotated[str, typer.Option(help="Model name: lower case, digits, . _ - (at most 64).")]
Precisions = Annotated[
    list[str],  # typer takes a Literal, but no list of one: `checked_precisions`
    typer.Option(
        "--precision",
        metavar=f"<{'|'.join(get_args(Precision))}>",
        help="Give it once for each: the first gets the alias, every other one its own name as alias. "
        "int8 is for CPUs (about 1.6 times as fast), fp16 for GPUs; each is refused where it does not rank alike.",
    ),
]
Verb = TypeVar("Verb", bound=Callable[..., None])


def checked_precisions(given: Collection[str]) -> list[Precision]:
    """Take the values of `--precision` for precisions; raises typer.BadParameter for another value."""
    known: dict[str, Precision] = {name: name for name in get_args(Precision)}
    if unknown := sorted(set(given) - known.keys()):
        raise typer.BadParameter(
            f"{unknown[0]!r} is not one of {', '.join(map(repr, known))}.", param_hint="--precision"
        )
    return [known[name] for name in given]


def names_in(store: Path) -> list[str]:
    """The models of a store; raises ConfigurationError where it cannot be read."""
    from plurality.core.errors import ConfigurationError
    from service.bundle.store import model_names

    try:
        return model_names(store)
    except OSError as error:
        raise ConfigurationError(f"cannot read the store {store}: {error.strerror}") from None


def fields_as_options(
    settings: type[BaseModel],
    *,
    defaults: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> Callable[[Verb], Verb]:
    """Give a verb an option for each field of a settings class: its type, default and description become the help.

    The verb takes them as keyword arguments. Its own options are listed before them where they must be given, else
    after them.

    Args:
        defaults: of options that may be left out although the field is required, or whose default differs.
        without: fields that are no options.
    """

    def decorate(verb: Verb) -> Verb:
        own = [it for it in signature(verb).parameters.values() if it.kind is not Parameter.VAR_KEYWORD]
        made = [
            _option(name, field, (defaults or {}).get(name, field.default))
            for name, field in settings.model_fields.items()
            if name not in without
        ]
        required = [it for it in own if it.default is Parameter.empty]
        optional = [it for it in own if it.default is not Parameter.empty]
        setattr(verb, "__signature__", Signature([*required, *made, *optional]))  # noqa: B010 - typer reads it
        return verb

    return decorate


def _option(name: str, field: FieldInfo, default: Any) -> Parameter:
    flags = [f"--{name.replace('_', '-')}"]
    option = typer.Option(*flags, help=field.description)
    default = Parameter.empty if field.is_required() and default is field.default else default
    kind: Any = Annotated.__class_getitem__((_accepted(field, default), option))  # type: ignore[attr-defined]
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _accepted(field: FieldInfo, default: Any) -> Any:
    """The type of a field on the command line: what its validator accepts, where that is more than the type itself."""
    accepted = [found for it in field.metadata if (found := getattr(it, "json_schema_input_type", None)) is not None]
    kind: Any = accepted[0] if accepted and get_origin(accepted[0]) is Literal else field.annotation
    return kind | None if default is None and type(None) not in get_args(kind) else kind
