"""Plots are files that open, of a size to look at."""

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plurality.core.rows import PreferenceRow
from plurality.evaluation import plots
from plurality.evaluation.plots import plot_agreement
from plurality.evaluation.predict import Array, Predictions
from plurality.evaluation.sample import Sample, make_sample
from plurality.evaluation.tables import Predictor, Results, evaluate
from plurality.stats.paired import Resampling
from tests.plurality.evaluation.synthetic import population_sample, population_shares
from tests.plurality.evaluation.synthetic import predictions as made
from tests.plurality.training.data import row

ROWS = [
    row(id=str(i), label=float(i % 2), true_preference=i / 19, category="objective" if i % 3 else "subjective")
    for i in range(20)
]


def predictions(seed: int = 0, count: int = len(ROWS)) -> Predictions:
    """Probabilities with both ends of the range among them."""
    margin = np.random.default_rng(seed).normal(size=count)
    probability = 1 / (1 + np.exp(-margin))
    probability[:2] = 0.0, 1.0
    return Predictions(margin, probability, probability**2, np.stack([margin, np.zeros(count)], axis=1))


def size(path: Path) -> tuple[int, int]:
    """Width and height from the header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


@pytest.mark.parametrize("models", [1, 2, 3])
def test_png(tmp_path: Path, models: int) -> None:
    """A valid PNG, one panel a model wide, and something is drawn on it."""
    path = tmp_path / "agreement.png"
    plot_agreement(ROWS, {f"model {i}": predictions(i) for i in range(models)}, path)
    width, height = size(path)
    assert (width, height) == (690 * models, 1260)
    assert path.stat().st_size < 500_000
    pixels = matplotlib.image.imread(path)
    assert pixels.shape[:2] == (height, width)
    assert 0.005 < float((pixels[..., :3].min(-1) < 0.9).mean()) < 0.5


def test_same_input_same_picture(tmp_path: Path) -> None:
    """The same predictions give the same bytes; others give others."""
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        plot_agreement(ROWS, {"model": predictions(seed)}, tmp_path / f"{name}.png")
    contents = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_settings_left_alone(tmp_path: Path) -> None:
    """A plot leaves matplotlib's own settings as they were."""
    before = dict(mpl.rcParams)
    plot_agreement(ROWS, {"model": predictions()}, tmp_path / "a.png")
    assert dict(mpl.rcParams) == before


def test_incomplete_rows(tmp_path: Path) -> None:
    """Rows without a true preference or a category still make a picture."""
    rows: list[PreferenceRow] = [row(id=str(i)) for i in range(4)]
    plot_agreement(rows, {"model": predictions(count=4)}, tmp_path / "a.png")
    assert size(tmp_path / "a.png") == (690, 1260)


def assessments(sample: Sample, *probabilities: Array) -> Results:
    """Results of several models on a sample."""
    models = [Predictor(f"m{i}", made(p)) for i, p in enumerate(probabilities)]
    return evaluate(sample, models, [], Resampling(10), data={})


def every_figure() -> dict[str, Figure | None]:
    """Each plot of the report, of two models on a population."""
    people = population_shares(60)
    sample = population_sample(people, category=lambda i: "ab"[i % 2], source=lambda i: "xyz"[i % 3])
    results = assessments(sample, people, np.full(60, 0.6))
    models = {"oracle": made(people), "even": made(np.full(60, 0.6))}
    return {
        "reliability": plots.reliability(sample, models),
        "scatter": plots.scatter(sample, models),
        "bars": plots.bars(results.models, "category", "pearson", "Pearson"),
    }


@pytest.mark.parametrize("name", ["reliability", "scatter", "bars"])
def test_png_and_svg(tmp_path: Path, name: str) -> None:
    """Both files are written, the same twice, and the SVG has no document type, no host, no script."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        figure = every_figure()[name]
        assert figure is not None
        png, svg = plots.save(figure, tmp_path / folder, name)
    assert png.read_bytes() == (tmp_path / "a" / png.name).read_bytes()
    text = svg.read_text()
    assert text == (tmp_path / "a" / svg.name).read_text()
    assert set(re.findall(r"https?://[^\"' )<]*", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<!DOCTYPE" not in text
    assert "<script" not in text
    ElementTree.fromstring(text)  # noqa: S314 - our own file
    size(png)


def test_nothing_to_draw() -> None:
    """No category, or a statistic without a value in any: no picture rather than an empty one; nor without answers."""
    results = assessments(population_sample(population_shares(10)), np.full(10, 0.5))
    assert plots.bars(results.models, "category", "accuracy", "accuracy") is None
    assert plots.bars(results.models, "all", "pearson", "Pearson") is None
    assert plots.best_of_n(results.models) is None


def test_bars_show_the_figures() -> None:
    """A bar's length is the figure; the model without one has no bar, not a bar of zero."""
    people = population_shares(40)
    results = assessments(population_sample(people, category=lambda _: "c"), 1 - people, np.full(40, 0.5))
    figure = plots.bars(results.models, "category", "pearson", "Pearson")
    assert figure is not None
    widths = [patch.get_width() for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert widths[0] == pytest.approx(-1)
    assert np.isnan(widths[1])


def test_curve_of_best_of_n() -> None:
    """Where prompts have three answers the curve is drawn, a line a model and the two limits."""
    rows = [
        row(id=f"{i}{j}", prompt="p", response_a=str(i), response_b=str(j), label=1.0)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    rewards = np.array([[2.0, 1.0], [2.0, 0.0], [1.0, 0.0]])
    margin = rewards[:, 0] - rewards[:, 1]
    p = 1 / (1 + np.exp(-margin))
    one = Predictor("one", Predictions(margin, p, p, rewards))
    results = evaluate(make_sample(rows), [one], [], Resampling(5), data={})
    figure = plots.best_of_n(results.models)
    assert figure is not None
    heights = [np.asarray(line.get_ydata()).tolist() for line in figure.axes[0].lines]
    assert heights == [pytest.approx(y) for y in ([0.5, 5 / 6, 1.0], [0.5, 0.5, 0.5], [0.5, 5 / 6, 1.0])]


def test_many_models() -> None:
    """Three panels a line, what is left over is empty; a lone model's bars need no legend."""
    people = population_shares(20)
    sample = population_sample(people, category=lambda _: "c")
    figure = plots.scatter(sample, {f"m{i}": made(people) for i in range(4)})
    assert [axis.get_visible() for axis in figure.axes] == [True] * 4 + [False] * 2
    alone = plots.bars(assessments(sample, people).models, "category", "l1", "L1")
    assert alone is not None
    assert alone.axes[0].get_legend() is None
