"""What the API promises in writing is what the code does."""

import json
import pickle
from pathlib import Path
from typing import Any

import httpx
import pytest

from plurality.core.errors import PluralityError
from service import errors
from service.api.errors import STATUS
from service.app import Service
from service.bundle.manifest import Manifest
from tests.api import settings_for, with_api

ROOT = Path(__file__).resolve().parents[2]


def every_error(root: type[PluralityError] = PluralityError) -> list[type[PluralityError]]:
    """The tree of service.errors, flat."""
    children = [
        kind for kind in root.__subclasses__() if kind.__module__ in {errors.__name__, PluralityError.__module__}
    ]
    return [root, *(kind for child in children for kind in every_error(child))]


def make(kind: type[PluralityError]) -> PluralityError:
    needs_reason = kind in {errors.Overloaded, errors.BundleRejected}
    return kind("m", reason="r") if needs_reason else kind("m")  # type: ignore[call-arg]


def test_the_error_table_is_total() -> None:
    """Each error class has a status, a code of its own, and a line in the tree that the module's docstring draws."""
    kinds = every_error()
    assert set(STATUS) == set(kinds)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


@pytest.mark.parametrize("kind", every_error())
def test_errors_survive_pickling(kind: type[PluralityError]) -> None:
    """An error crosses a process boundary whole."""
    again = pickle.loads(pickle.dumps(make(kind)))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert vars(again) == vars(make(kind))


def test_the_manifest_schema_in_docs_is_current() -> None:
    """docs/manifest.schema.json is what `python -m service.bundle.manifest` prints."""
    assert json.loads((ROOT / "docs/manifest.schema.json").read_text(encoding="utf-8")) == Manifest.model_json_schema()


NATIVE = {"/rm/v1/score", "/rm/v1/preference", "/rm/v1/rank", "/rm/v1/compare", "/rm/v1/models"}


def test_openapi(published: Path, tmp_path: Path) -> None:
    """Every route is described with its body and an example that works, dialects included; no dangling refs."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        client.headers["authorization"] = "Bearer key"
        schema = (await client.get("/openapi.json")).json()
        assert set(schema["paths"]) > NATIVE
        for template, operations in schema["paths"].items():
            path = template.replace("{model}", "tiny").replace("{version}", "stable")
            if any("admin" in operation.get("tags", ()) for operation in operations.values()):
                continue
            if "get" in operations and "{name}" not in path:
                assert (await client.get(path)).status_code == 200, path
            for example in examples(operations.get("post", {})):
                reply = await client.post(path, json=example)
                assert reply.status_code == 200, f"{path}: {reply.text}"
        for path in NATIVE - {"/rm/v1/models"}:
            assert {"404", "413", "415", "422", "503", "504"} <= set(schema["paths"][path]["post"]["responses"])
        known = {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}
        assert references(schema) <= known
        assert (await client.get("/openapi.json")).json() == schema
        assert (await client.get("/docs")).status_code == 200

    (tmp_path / "keys").write_text("key", encoding="utf-8")
    feedback = {"url": f"sqlite:///{tmp_path / 'votes.db'}"}
    with_api(settings_for(published, keys={"admin_file": tmp_path / "keys"}, feedback=feedback), story)


def examples(operation: Any) -> list[Any]:
    """Every example of an operation's body."""
    if not operation:
        return []
    body = operation["requestBody"]["content"]["application/json"]
    return [body["example"]] if "example" in body else [entry["value"] for entry in body["examples"].values()]


def references(node: Any) -> set[str]:
    """Every $ref in a schema."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()))
    return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()
