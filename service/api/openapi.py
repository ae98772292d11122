"""OpenAPI from the wire's own structs: bodies and replies by reference, with an example for each request."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct

from service.api.shapes import ErrorBody

Answers = dict[int | str, dict[str, Any]]
"""`responses` of a route: by status, what is answered."""
_REF = "#/components/schemas/{name}"


def content_of(model: type[Struct], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """The `content` of a body or a reply."""
    content: dict[str, Any] = {"schema": {"$ref": _REF.format(name=model.__name__)}}
    if example:
        content["example"] = example
    return {"application/json": content}


def answers(model: type[Struct], description: str = "The answer") -> Answers:
    """What a route answers when all is well."""
    return {200: {"content": content_of(model), "description": description}}


def failures(descriptions: Mapping[int, str]) -> Answers:
    """What a route answers when it fails, by status."""
    content = content_of(ErrorBody)
    return {status: {"content": content, "description": text} for status, text in descriptions.items()}


def request_body(model: type[Struct], example: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route: its body's schema, with an example."""
    return {"requestBody": {"required": True, "content": content_of(model, example)}}


def query_parameters(model: type[Struct]) -> list[dict[str, Any]]:
    """`parameters` of a route whose query is this record: all of its fields are optional."""
    described: dict[str, Any] = msgspec.json.schema(model)["$defs"][model.__name__]["properties"]
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in described.items()]


def alternatives(bodies: Sequence[tuple[type[Struct], str, dict[str, Any]]]) -> dict[str, Any]:
    """`openapi_extra` of a route that several wire formats share: (record, whose it is, an example) each."""
    if len(bodies) == 1:
        [(model, _, example)] = bodies
        return request_body(model, example)
    schemas = [{"$ref": _REF.format(name=model.__name__)} for model, _, _ in bodies]
    examples = {name: {"value": example} for _, name, example in bodies}
    content = {"application/json": {"schema": {"anyOf": schemas}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


def install_openapi(app: FastAPI, models: Sequence[type[Struct]]) -> None:
    """Replace the schema's generator by one that knows the structs. Generated once, on first use."""

    def generate() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            _, components = msgspec.json.schema_components(models, ref_template=_REF)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = generate  # type: ignore[method-assign]
