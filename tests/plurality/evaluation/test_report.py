"""The report: whole, readable without a script or a network, and free of what rows could smuggle in."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from plurality.evaluation.report import write_report
from plurality.evaluation.sample import make_sample
from plurality.evaluation.tables import Predictor, evaluate
from plurality.stats.paired import Resampling
from tests.plurality.evaluation.synthetic import make_rows, population_shares, predictions, tempered

PEOPLE = population_shares(40)
_VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Tags with their attributes; fails where one is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(directory: Path, *, people: bool = True, category: str = "objective") -> list[Path]:
    rows = make_rows(PEOPLE, category=lambda _: category, true_preference=lambda i: PEOPLE[i] if people else None)
    sample = make_sample(rows)
    models = [
        Predictor(name, predictions(p), version={"digest": "0" * 64, "calibration": None})
        for name, p in (("oracle", PEOPLE), ("wrong", tempered(PEOPLE, 2.0)))
    ]
    even = [Predictor("even odds", predictions(np.full(40, 0.5)), trivial=True)]
    data = {"file": "pairs.jsonl", "sha256": "0" * 64, "votes": None}
    results = evaluate(sample, models, even, Resampling(10), data=data, notes=["a note"])
    return write_report(directory, sample, models, results)


def test_files(tmp_path: Path) -> None:
    """The page, the JSON, and each plot twice; nothing half-written is left."""
    folder = tmp_path / "new" / "report"
    written = report(folder)
    assert sorted(written) == sorted(folder.iterdir())
    names = {"categories", "reliability", "scatter", "sources"}
    assert {path.name for path in written} == {"report.html", "results.json"} | {
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    }
    assert json.loads((folder / "results.json").read_text())["models"][0]["name"] == "oracle"


@pytest.mark.parametrize("people", [True, False])
def test_the_page_stands_alone(tmp_path: Path, people: bool) -> None:
    """No outside URL, no script, no frame; images are inside, links are to files beside it; light and dark."""
    written = report(tmp_path, people=people)
    text = written[0].read_text()
    assert not re.findall(r"(?:https?:)?//[a-z0-9]", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.found}
    beside = {path.name for path in written}
    for tag, attributes in page.found:
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/svg+xml;base64,")
            assert attributes["alt"]
        if tag == "a":
            assert attributes["href"] in beside
    assert "prefers-color-scheme: dark" in text
    assert ("Not known here" in text) is not people
    assert "nan" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text).lower().split()


def test_names_are_escaped(tmp_path: Path) -> None:
    """A category is the file's own text: it is shown, not run."""
    text = report(tmp_path, category="<script>alert(1)</script>")[0].read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
