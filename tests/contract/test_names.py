"""The fences around generic import names (ADR 0001)."""

import importlib
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("service", "model_export", "plurality")


@pytest.mark.parametrize("name", PACKAGES)
def test_the_name_is_ours(name: str) -> None:
    """The import gives this checkout's package, and no other distribution claims the name."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().is_relative_to(ROOT)
    claimed = set(importlib.metadata.packages_distributions().get(name, []))
    assert claimed <= {"plurality"}


def test_onnxruntime_does_not_shadow_ours() -> None:
    """onnxruntime.transformers appends its folder to the path: ours must come first."""
    code = "import onnxruntime.transformers.optimizer, model_export, service; print(service.__file__)"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    assert Path(found.stdout.strip()).is_relative_to(ROOT)


def test_it_cannot_be_published_by_accident() -> None:
    """The distribution is `plurality`, marked private, and its wheel lists exactly our packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == "plurality"
    assert "Private :: Do Not Upload" in project["project"]["classifiers"]
    assert {p.rstrip("*") for p in project["tool"]["setuptools"]["packages"]["find"]["include"]} == set(PACKAGES)


def test_every_test_folder_is_a_package() -> None:
    """Without __init__.py everywhere, `import service` inside tests would find tests/service."""
    for folder in {path.parent for path in (ROOT / "tests").rglob("*.py")}:
        assert (folder / "__init__.py").exists(), folder
