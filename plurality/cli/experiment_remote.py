"""`plurality experiment list|show|put|stop|report`: a running service asked over HTTP."""

from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import msgspec
import typer

Url = Annotated[str, typer.Option(help="Where the service listens.", envvar="PLURALITY_URL")]
Key = Annotated[Path, typer.Option("--key-file", help="File with an admin key of the service.", exists=True)]
ReadKey = Annotated[
    Path | None, typer.Option("--key-file", help="File with a key, where the service asks for one.", exists=True)
]
Name = Annotated[str, typer.Argument(help="The experiment's name.")]
_TIMEOUT_S = 60.0


def every(url: Url = "http://127.0.0.1:8080", key: ReadKey = None) -> None:
    """List the experiments and how their arms do."""
    for state in _ask(url, "GET", "", key=key)["experiments"]:
        _print(state)


def show(name: Name, url: Url = "http://127.0.0.1:8080", key: ReadKey = None) -> None:
    """Print an experiment's definition and state as JSON."""
    _json(_ask(url, "GET", f"/{name}", key=key))


def put(
    name: Name,
    definition: Annotated[Path, typer.Argument(help="YAML or JSON: model, control, arms, ...", exists=True)],
    key: Key,
    url: Url = "http://127.0.0.1:8080",
) -> None:
    """Define an experiment, or change it."""
    import yaml

    from plurality.core.errors import ConfigurationError

    try:
        raw = yaml.safe_load(definition.read_bytes())
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationError(f"{definition.name} is neither YAML nor JSON") from None
    _print(_ask(url, "PUT", f"/{name}", key=key, body=raw))


def stop(name: Name, key: Key, url: Url = "http://127.0.0.1:8080") -> None:
    """No request takes part any more; definition and reports stay."""
    definition = _ask(url, "GET", f"/{name}", key=key)["definition"]
    body = {field: value for field, value in definition.items() if field != "name"} | {"running": False}
    _print(_ask(url, "PUT", f"/{name}", key=key, body=body))


def report(
    name: Name,
    url: Url = "http://127.0.0.1:8080",
    key: ReadKey = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Each arm against the control on the votes so far, and what to do."""
    found = _ask(url, "GET", f"/{name}/report", key=key)
    if as_json:
        _json(found)
        return
    for arm in found["arms"]:
        typer.echo(f"{arm['arm']}: {arm['verdict']['action']}")
        for reason in arm["verdict"]["reasons"]:
            typer.echo(f"  {reason}")


def _print(state: dict[str, Any]) -> None:
    definition = state["definition"]
    status = "runs" if state["runs"] else state["problem"] or "stopped"
    typer.echo(f"{definition['name']}  {definition['model']}  {state['origin']}  {status}")
    for arm in state["arms"]:
        version = (arm["version"] or "not resident")[:12]
        role = "control" if arm["name"] == definition["control"] else "disabled" if arm["disabled"] else ""
        typer.echo(f"  {arm['name']:<16} {version:<12} {arm['share']:7.2%} {arm['requests']:>9} requests  {role}")


def _json(found: Any) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))


def _ask(url: str, method: str, path: str, *, key: Path | None = None, body: Any = None) -> Any:
    from plurality.core.errors import ConfigurationError, PluralityError
    from plurality.core.keys import first_key

    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("the URL begins with http:// or https://", param="url")
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {first_key(key)}"
    data = None if body is None else msgspec.json.encode(body)
    request = Request(f"{url.rstrip('/')}/rm/v1/experiments{path}", data, headers, method=method)  # noqa: S310
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - http alone, checked above
            return msgspec.json.decode(reply.read())
    except HTTPError as error:
        raise PluralityError(_message(error)) from None
    except (URLError, TimeoutError) as error:
        raise ConfigurationError(f"no service answers at this URL: {getattr(error, 'reason', error)}") from None


def _message(error: HTTPError) -> str:
    try:
        return f"{error.code}: {msgspec.json.decode(error.read())['error']['message']}"
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the service answered {error.code}, and not as Plurality does: is this its URL?"
