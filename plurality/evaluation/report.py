"""Write the report: report.html, its plots as PNG and SVG, results.json."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import jinja2

from plurality.evaluation import plots, text
from plurality.evaluation.sample import Sample
from plurality.evaluation.tables import Predictor, Results
from plurality.evaluation.template import PAGE
from service.bundle.files import replace_file

_TEXTS = {
    "reliability": "Predicted against observed share by bin, both orders of every pair.",
    "scatter": "P(a preferred) against the share p* of people who prefer a, one point a pair.",
    "categories": "By category, with 95 % intervals over prompts.",
    "sources": "By source, with 95 % intervals over prompts.",
    "best_of_n": "Share that prefers the answer with the highest reward among n.",
}


def write_report(directory: Path, sample: Sample, models: Sequence[Predictor], results: Results) -> list[Path]:
    """Write every file and say which; the page and results.json come last, each only when it is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = _draw(directory, sample, models, results)
    page = directory / "report.html"
    replace_file(page, _page(directory, sorted({path.stem for path in drawn}), results).encode())
    data = directory / "results.json"
    replace_file(data, (json.dumps(results.as_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())
    return [page, data, *drawn]


def _draw(directory: Path, sample: Sample, models: Sequence[Predictor], results: Results) -> list[Path]:
    predictions = {model.name: model.predictions for model in models}
    people = bool(sample.known.any())
    statistic, title = ("pearson", "Pearson correlation with p*") if people else ("accuracy", "accuracy")
    figures = {
        "reliability": plots.reliability(sample, predictions),
        "scatter": plots.scatter(sample, predictions) if people else None,
        "categories": plots.bars(results.models, "category", statistic, title),
        "sources": plots.bars(results.models, "source", "accuracy", "accuracy"),
        "best_of_n": plots.best_of_n(results.models),
    }
    return [path for name, drawn in figures.items() if drawn for path in plots.save(drawn, directory, name)]


def _page(directory: Path, names: Sequence[str], results: Results) -> str:
    pictures = {
        name: {"data": base64.b64encode((directory / f"{name}.svg").read_bytes()).decode(), "text": _TEXTS[name]}
        for name in names
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(PAGE).render(
        r=results,
        pictures=pictures,
        none=text.NONE,
        figure=text.figure,
        difference=text.difference,
        find=text.find,
        line_name=text.line_name,
        further=results.further,
        tests=list(text.correlation_tests(results)),
        extras={model.name: list(text.extras(model)) for model in results.models},
    )
