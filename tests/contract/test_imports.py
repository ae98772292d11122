"""Imports point one way, and the service never meets torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ORDER = ("metrics", "service", "model_export", "training", "evaluation", "plurality")
"""Each may import what stands to its left."""
SERVICE_LAYERS = (
    {"errors", "domain", "calibrate"},
    {
        "tokenise",
        "tokenise_raw",
        "runtime",
        "repository",
        "admission",
        "batching",
        "setting_groups",
        "settings",
        "telemetry",
        "feedback",
    }
    | {"watch"},
    {"scoring"},
    {"experiments"},
    {"api"},
    {"ui"},
    {"app"},
    {"server"},
    {"__main__"},
)
OFFLINE_ONLY = {"torch", "transformers", "optimum", "datasets", "onnx", "scipy", "matplotlib", "pandas", "pyarrow"}
METRICS_MAY = {"numpy"}


def modules(package: str) -> Iterator[tuple[Path, set[str]]]:
    """Every file of a package with the modules that it imports, wherever in the file."""
    for path in sorted((ROOT / package).rglob("*.py")):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        yield path, names


@pytest.mark.parametrize("package", ORDER)
def test_packages_import_only_to_the_left(package: str) -> None:
    """metrics <- service <- model_export <- training <- evaluation <- plurality; none imports tests."""
    forbidden = {*ORDER[ORDER.index(package) + 1 :], "tests"}
    for path, names in modules(package):
        bad = {name for name in names if name.split(".")[0] in forbidden}
        assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"


def test_service_layers() -> None:
    """Inside service: errors, domain <- the parts <- scoring <- api <- ui <- app <- server; only these know HTTP."""
    rank = {name: level for level, names in enumerate(SERVICE_LAYERS) for name in names}
    for path, names in modules("service"):
        own = path.relative_to(ROOT / "service").with_suffix("").parts[0]
        if own == "__init__":
            continue
        used = {name.split(".")[1] for name in names if name.startswith("service.")}
        bad = {name for name in used if rank[name] > rank[own]}
        assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"
        http = {name for name in names if name.split(".")[0] in {"fastapi", "starlette", "uvicorn"}}
        assert not http or own in {"api", "ui", "app", "server"}, f"{path.relative_to(ROOT)} knows HTTP"


def test_torch_stays_out_of_the_service() -> None:
    """No file of metrics or service imports an offline library, nor pickle."""
    for package in ("metrics", "service"):
        for path, names in modules(package):
            bad = {name for name in names if name.split(".")[0] in OFFLINE_ONLY | {"pickle", "joblib"}}
            assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"


def test_the_client_stands_alone() -> None:
    """`plurality_client` goes into trainers' environments: httpx, the standard library and itself, nothing of ours."""
    allowed = {"httpx", "plurality_client", *sys.stdlib_module_names}
    for path, names in modules("client/plurality_client"):
        bad = {name for name in names if name.split(".")[0] not in allowed}
        assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"


def test_every_verb_is_listed_without_torch() -> None:
    """`plurality --help` and `plurality serve --help` load none of the offline libraries."""
    code = (
        "import sys; from typer.testing import CliRunner; from plurality.cli import app\n"
        "for words in (['--help'], ['serve', '--help'], ['train', '--help']):\n"
        "    assert CliRunner().invoke(app, words).exit_code == 0\n"
        f"bad = {OFFLINE_ONLY!r} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_templates_are_of_the_page_alone() -> None:
    """jinja2 renders our own pages and nothing else: a model's chat template is data, and never run by the service."""
    found = {path.relative_to(ROOT).parent for path, names in modules("service") if "jinja2" in names}
    assert found == {Path("service/ui")}
