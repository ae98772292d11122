"""A thing that is defined once is extended by one edit: shown by making the edit in a copy of our code."""

import ast
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import settings_for, with_api

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("service", "model_export", "plurality")
_ROWS = """
import sys
from pathlib import Path
from plurality.core.rows import ComparedRow
from plurality.sidecar.collect import collect
from plurality.training.load import load_rows, read_rows
from service.feedback.export import json_line

folder = Path(sys.argv[1])
line = '{{"prompt": "p{}", "response_a": "a", "response_b": "b", "label": 1.0, "group": "debate"}}\\n'
file = folder / "rows.jsonl"
file.write_text("".join(line.format(i) for i in range(40)))
rows = load_rows(file)
assert {row.group for row in rows} == {"debate"}
assert {row.group for row in read_rows(file, ComparedRow)} == {"debate"}, "plurality experiment compare"
assert b'"group":"debate"' in json_line(rows[0]), "the export of votes"
written = collect(folder / "cycle", rows, base=file, held_out=None, share=0.5)
assert {row.group for row in load_rows(written.train)} == {"debate"}, "the sidecar's files"
"""
_POLICY = """
from typer.testing import CliRunner
from plurality.cli.app import app
from plurality.core.rows import PreferenceRow
from plurality.training.config import TrainConfig
from plurality.training.targets import targets_for

assert "half" in CliRunner().invoke(app, ["train", "--help"]).output
config = TrainConfig(model="m", data="d", output="o", objective="margin", margin_policy="half")
assert config.objective_name == "margin-half"
row = PreferenceRow(id="1", prompt="p", response_a="a", response_b="b", label=1.0, votes={"a": 3, "b": 0})
assert targets_for(config.spec, [row], source="s")[0].margin == 0.5
"""
_REPLY = """
import asyncio
import json
import sys
from pathlib import Path
import httpx
from typer.testing import CliRunner
from plurality.cli.app import app
from service.app import build_service, create_app, running
from service.settings import read_settings

store, folder = sys.argv[1], Path(sys.argv[2])
item = {"prompt": "Name a prime.", "response": "Seven."}
pair = {"prompt": "Name a prime.", "response_a": "Seven.", "response_b": "Eight."}

async def replies():
    settings = read_settings({"store": store, "repository": {"dry_run": False}}, {})
    async with running(build_service(settings)) as service:
        transport = httpx.ASGITransport(create_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            async def post(verb, **body):
                return (await client.post(f"/rm/v1/{verb}", json=body)).raise_for_status().json()

            yield (await post("score", items=[item]))["items"][0]
            yield (await post("preference", pairs=[pair]))["pairs"][0]["b"]
            yield (await post("rank", prompt="p", responses=["a", "b"]))["items"][1]
            versions = ["tiny@stable", "tiny@stable"]
            yield (await post("compare", models=versions, items=[item]))["items"][0]["versions"][1]
            yield (await post("compare", models=versions, pairs=[pair]))["pairs"][0]["versions"][1]["a"]
            schema = (await client.get("/openapi.json")).json()["components"]["schemas"]["ScoredItem"]
            yield schema["properties"]

async def every():
    return [reply async for reply in replies()]

*entries, described = asyncio.run(every())
file, output = folder / "items.jsonl", folder / "rewards.jsonl"
file.write_text(json.dumps(item))
done = CliRunner().invoke(app, ["score", str(file), "--store", store, "--output", str(output)])
assert done.exit_code == 0, done.output
entries.append(json.loads(output.read_text()))
assert [entry["whole"] for entry in entries] == [True] * 6
assert described["whole"]["default"] is None
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Our packages, to be edited."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "code" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "code"


def edit(file: Path, before: str, after: str) -> None:
    """Replace what is there exactly once."""
    text = file.read_text()
    assert text.count(before) == 1, f"{before!r} is not there exactly once"
    file.write_text(text.replace(before, after))


def run(code: Path, program: str, *arguments: str) -> None:
    """Run a program on the edited packages."""
    environment = os.environ | {"PYTHONPATH": str(code)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_new_field_of_a_row_is_one_edit(copy: Path, tmp_path: Path) -> None:
    """Loading, comparing, exporting and collecting carry an optional field that only `rows.py` names."""
    field = "    category: str | None = None\n"
    edit(copy / "plurality/core/rows.py", field, field + field.replace("category", "group"))
    run(copy, _ROWS, str(tmp_path))


def test_a_new_margin_policy_is_one_file(copy: Path) -> None:
    """The command line, the settings and the manifest's name of the objective follow what `margins.py` lists."""
    file = copy / "plurality/training/margins.py"
    edit(file, '"signed", "drop"]', '"signed", "drop", "half"]')
    before = '    if policy == "paper":\n        return size'
    edit(file, before, f'    if policy == "half":\n        return size / 2\n{before}')
    run(copy, _POLICY)


def test_a_new_field_of_a_reply_is_one_struct(copy: Path, published: Path, tmp_path: Path) -> None:
    """Every route that scores, `plurality score` and OpenAPI have an optional field that `ScoredItem` alone names."""
    file = copy / "service/wire.py"
    field = "    error: ItemError | None = None\n"
    edit(file, field, field + "    whole: bool | None = None\n")
    edit(file, "0, outcome.cut_tokens)", "0, outcome.cut_tokens, whole=outcome.cut_tokens == 0)")
    run(copy, _REPLY, str(published), str(tmp_path))


def names_in(node: Any) -> Iterator[str]:
    """The components that a part of the OpenAPI document refers to."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        node = list(node.values())
    for child in node if isinstance(node, list) else ():
        yield from names_in(child)


def described(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """Every struct of a reply, and the structs that it holds."""
    routes = [route for methods in document["paths"].values() for route in methods.values()]
    waiting = {name for route in routes for name in names_in(route["responses"])}
    found: dict[str, set[str]] = {}
    while waiting:
        name = waiting.pop()
        found[name] = set(names_in(document["components"]["schemas"][name]))
        waiting |= found[name] - found.keys()
    return found


def built() -> tuple[dict[str, set[str]], set[str]]:
    """The functions of the service that build each class; the classes that are converted whole, with their parts."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    converted = set()

    def look(node: ast.AST, file: str, owner: str, function: str) -> None:
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            own = called == "convert" and ast.unparse(node.args[-1]) == "cls"
            places[owner if own or called == "cls" else called].add(f"{file}: {function}")
            converted.update([owner] if own else [])
        owner = node.name if isinstance(node, ast.ClassDef) else owner
        function = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        for child in ast.iter_child_nodes(node):
            look(child, file, owner, function)

    for path in (ROOT / "service").rglob("*.py"):
        look(ast.parse(path.read_text()), str(path.relative_to(ROOT)), "", "")
    return places, converted


def test_a_struct_of_a_reply_is_built_in_one_place(published: Path) -> None:
    """What OpenAPI says a reply holds is what the service builds, each struct in one function: no second shape."""
    documents: list[Mapping[str, Any]] = []

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        documents.append((await client.get("/openapi.json")).json())

    with_api(settings_for(published), story)
    structs, (places, converted) = described(documents[0]), built()
    parts = {part for name in converted & structs.keys() for part in structs[name]}
    assert {"ScoredItem", "PreferencePair", "CompareResponse", "ErrorDetail", "VoteReply"} <= structs.keys() - parts
    wrong = {name: places[name] for name in structs.keys() - parts if len(places[name]) != 1}
    assert not wrong, f"not built in exactly one place: {wrong}"


def test_one_type_of_each() -> None:
    """Rows, pairs and the key of a prompt have one definition."""
    defined = {
        "class PreferenceRow": 1, "class ComparedRow": 1, "class ResponsePair": 1, "def prompt_key(prompt": 1,
        "class LabeledPair": 0, "class JudgedPair": 0, "class Line": 0,
    }  # fmt: skip
    texts = [path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert {name: sum(name in text for text in texts) for name in defined} == defined
