"""Tests of plurality/stats/__init__.py."""

import ast
import sys
from pathlib import Path

from plurality import stats


def test_exports_are_sorted_and_exist() -> None:
    """`__all__` is sorted and names only what is there."""
    assert stats.__all__ == sorted(stats.__all__)
    assert all(hasattr(stats, name) for name in stats.__all__)


def test_only_numpy_is_imported() -> None:
    """The package imports nothing but numpy, the standard library and itself."""
    allowed = {"numpy", "plurality", *sys.stdlib_module_names}
    for file in Path(stats.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file
