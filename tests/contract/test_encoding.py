"""Text files are UTF-8 in every locale: each call that opens one says so."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "service", "model_export", "plurality", "client", "benchmarks", "research"
)  # fmt: skip
TEXT_MODES = {mode + end for mode in ("r", "w", "a", "x") for end in ("", "t", "+", "t+")}
OPENERS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}


def unnamed(source: str) -> Iterator[int]:
    """Lines of calls that read or write text in the locale's encoding, whatever it is."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        modes = {value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)}
        if called in {"read_text", "write_text"} or (called in OPENERS and modes & TEXT_MODES):
            yield node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_text_has_a_named_encoding(package: str) -> None:
    """A settings file or a table with an accent reads alike under LANG=C, and Latin-1 is written nowhere."""
    found = {path: list(unnamed(path.read_text(encoding="utf-8"))) for path in (ROOT / package).rglob("*.py")}
    assert not {str(path.relative_to(ROOT)): lines for path, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("call", "lines"),
    [
        ("path.read_text()", [1]),
        ("path.write_text(text)", [1]),
        ("path.open('w')", [1]),
        ("gzip.open(path, mode='rt')", [1]),
        ("path.read_text(encoding='utf-8')", []),
        ("path.open('rb')", []),
        ("store.open()", []),
    ],
)
def test_what_is_found(call: str, lines: list[int]) -> None:
    """The search itself."""
    assert list(unnamed(call)) == lines
