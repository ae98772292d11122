"""Imports point one way, and the service never meets torch."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "plurality.core",
    "plurality.stats",
    "service",
    "model_export",
    "plurality.training",
    "plurality.evaluation",
    "plurality.sidecar",
    "plurality.synthetic",
    "plurality.cli",
)
"""Lowest first. Each may import those before it, and none after it."""
ROOMS = (
    "service.errors",
    "service.domain",
    "service.settings",
    "service.telemetry",
    "service.engine",
    "service.bundle",
    "service.wire",
    "service.versions",
    "service.drift",
    "service.admission",
    "service.scoring",
    "service.feedback",
    "service.experiments",
    "service.api",
    "service.ui",
    "service.app",
    "service.server",
    "service.__main__",
)
"""The same inside the service: its folders and its single files."""
HTTP_ROOMS = {"service.api", "service.ui", "service.app", "service.server"}
OFFLINE_ONLY = {
    "torch",
    "transformers",
    "optimum",
    "datasets",
    "onnx",
    "scipy",
    "sklearn",
    "matplotlib",
    "pandas",
    "pyarrow",
}


def modules(package: str, root: Path = ROOT) -> Iterator[tuple[Path, set[str]]]:
    """Every file of a package with the modules that it imports, wherever in the file."""
    for path in sorted((root / package.replace(".", "/")).rglob("*.py")):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        yield path, names


def room_of(name: str, order: Sequence[str]) -> str | None:
    """The entry of the order that a dotted name lies in."""
    return next((room for room in order if name == room or name.startswith(f"{room}.")), None)


def upward_arrows(order: Sequence[str], root: Path = ROOT) -> list[str]:
    """Every import of something that stands later in the order, each as a sentence."""
    rank = {room: place for place, room in enumerate(order)}
    found = []
    for top in sorted({room.split(".")[0] for room in order}):
        for path, names in modules(top, root):
            own = room_of(".".join(path.relative_to(root).with_suffix("").parts), order)
            for name in sorted(names):
                other = room_of(name, order)
                if own and other and rank[other] > rank[own]:
                    found.append(f"{path.relative_to(root)} imports {name}: {other} stands above {own}")
    return found


@pytest.mark.parametrize("order", [PACKAGES, ROOMS], ids=["packages", "rooms"])
def test_imports_point_down(order: Sequence[str]) -> None:
    """No package and no room of the service imports one that stands above it."""
    arrows = upward_arrows(order)
    assert not arrows, "\n".join(arrows)


def test_every_file_has_a_place() -> None:
    """A new package, folder or file must be given its place in the order; nothing of ours imports tests or studies."""
    for order, top in ((PACKAGES, "plurality"), (PACKAGES, "model_export"), (ROOMS, "service")):
        for path, names in modules(top):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            assert room_of(name, order) or name in {f"{top}.__init__", "plurality.__main__"}, f"{name} has no place"
            outside = {name for name in names if name.split(".")[0] in {"tests", "benchmarks", "research"}}
            assert not outside, f"{path.relative_to(ROOT)} imports {sorted(outside)}"


def test_the_namespace_imports_nothing() -> None:
    """`import plurality` imports none of our code: what is below may be imported where what is above cannot."""
    [names] = [names for path, names in modules("plurality") if path == ROOT / "plurality" / "__init__.py"]
    assert names <= {"os"}


@pytest.mark.parametrize(
    ("order", "file", "line", "message"),
    [
        (
            ROOMS,
            "service/engine/batcher.py",
            "from service.bundle.open import LoadedModel",
            "service/engine/batcher.py imports service.bundle.open: service.bundle stands above service.engine",
        ),
        (
            PACKAGES,
            "plurality/stats/drift.py",
            "import service",
            "plurality/stats/drift.py imports service: service stands above plurality.stats",
        ),
    ],
    ids=["room", "package"],
)
def test_a_planted_arrow_is_named(order: Sequence[str], file: str, line: str, message: str, tmp_path: Path) -> None:
    """In a copy of our code, one import upwards is found, with who imports what and why that is wrong."""
    for package in ("service", "model_export", "plurality"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    assert upward_arrows(order, tmp_path) == []
    with (tmp_path / file).open("a") as planted:
        planted.write(f"\n\ndef late() -> None:\n    {line}\n")
    assert message in upward_arrows(order, tmp_path)


def test_http_stays_in_its_rooms() -> None:
    """What scores, stores and decides in the service knows no HTTP."""
    for path, names in modules("service"):
        own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts), ROOMS)
        http = {name for name in names if name.split(".")[0] in {"fastapi", "starlette", "uvicorn"}}
        assert not http or own in HTTP_ROOMS, f"{path.relative_to(ROOT)} imports {sorted(http)}"


def test_torch_stays_out_of_the_service() -> None:
    """No file that serving needs imports an offline library, nor pickle."""
    for package in ("plurality.core", "plurality.stats", "service"):
        for path, names in modules(package):
            bad = {name for name in names if name.split(".")[0] in OFFLINE_ONLY | {"pickle", "joblib"}}
            assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"


def test_what_serving_imports_is_declared() -> None:
    """Each distribution that the service imports is a dependency of ours, not only of another dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    declared = {_normal(re.split(r"[\[<>=!~ ]", line)[0]) for line in wanted}
    ours = {"plurality", "service", *sys.stdlib_module_names}
    found = packages_distributions()
    for package in ("plurality.core", "plurality.stats", "service"):
        for path, names in modules(package):
            used = {name.split(".")[0] for name in names} - ours
            bad = {name for name in used if not declared & {_normal(one) for one in found.get(name, [name])}}
            assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}, which pyproject.toml does not name"


def _normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def test_the_client_stands_alone() -> None:
    """`plurality_client` goes into trainers' environments: httpx, the standard library and itself, nothing of ours."""
    allowed = {"httpx", "plurality_client", *sys.stdlib_module_names}
    for path, names in modules("client/plurality_client"):
        bad = {name for name in names if name.split(".")[0] not in allowed}
        assert not bad, f"{path.relative_to(ROOT)} imports {sorted(bad)}"


def test_every_verb_is_listed_without_torch() -> None:
    """`plurality --help` and `plurality serve --help` load none of the offline libraries."""
    code = (
        "import sys; from typer.testing import CliRunner; from plurality.cli.app import app\n"
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
