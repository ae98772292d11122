"""Plots for people: PNG and SVG, one panel a model."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from plurality.core.rows import PreferenceRow
from plurality.evaluation.figures import SliceFigures
from plurality.evaluation.predict import Array, Predictions
from plurality.evaluation.sample import Sample
from plurality.evaluation.tables import Assessment
from plurality.stats import reliability_band, reliability_curve

_COLORS = {"objective": "#0072b2", "subjective": "#d55e00"}
"""Okabe and Ito's palette: tells apart for color-blind readers too."""
_MODELS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MANY = 2000
"""Points; more are drawn as an image inside the SVG, or it would be megabytes."""
_PANEL = 4.4
_NO_BAR = (np.nan, np.nan, np.nan)


def plot_agreement(rows: Sequence[PreferenceRow], models: Mapping[str, Predictions], path: Path) -> None:
    """Write a PNG: above, predicted P against p* of every pair; below, predicted against observed by bin."""
    figure = Figure(figsize=(4.6 * len(models), 8.4), layout="constrained")
    axes = figure.subplots(2, len(models), squeeze=False)
    truth = np.array([row.true_preference if row.true_preference is not None else np.nan for row in rows])
    label = np.array([row.label for row in rows])
    kinds = np.array([row.category or "" for row in rows])
    for column, (name, predictions) in enumerate(models.items()):
        top, bottom = axes[0][column], axes[1][column]
        for kind, color in _COLORS.items():
            chosen = kinds == kind
            top.scatter(truth[chosen], predictions.calibrated[chosen], s=9, alpha=0.5, color=color, label=kind)
        top.set(title=name, xlabel="p*: share of people who prefer a", ylabel="calibrated P(a preferred)")
        for probability, style, text in ((predictions.raw, "s--", "raw"), (predictions.calibrated, "o-", "calibrated")):
            _curve(bottom, probability, label, style, label=text)
        bottom.set(xlabel="predicted P(a preferred)", ylabel="observed share that chose a")
        for axis in (top, bottom):
            _unit_square(axis)
            axis.legend(frameon=False)
    figure.savefig(path, dpi=150)


def save(figure: Figure, directory: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg; the same figure gives the same bytes, and the SVG fetches nothing."""
    png, svg = directory / f"{name}.png", directory / f"{name}.svg"
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": "plurality"}):
        figure.savefig(png, dpi=150)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=nothing)
    svg.write_text(re.sub(r"<!DOCTYPE.*?>\s*", "", text.getvalue(), flags=re.DOTALL), encoding="utf-8")
    return [png, svg]


def reliability(sample: Sample, models: Mapping[str, Predictions]) -> Figure:
    """Predicted against observed by bin, raw and calibrated, with the band where a calibrated model would lie."""

    def draw(axis: Any, predictions: Predictions, color: str) -> None:
        band = reliability_band(predictions.calibrated)
        axis.fill_between(band.predicted, band.low, band.high, color="0.85", label="a calibrated model, 5–95 %")
        _curve(axis, predictions.raw, sample.label, "s--", color="0.45", label="raw σ(Δ)")
        _curve(axis, predictions.calibrated, sample.label, "o-", color=color, label="calibrated")
        axis.set(xlabel="predicted P(a preferred)", ylabel="observed share that chose a")
        _unit_square(axis)
        axis.legend(frameon=False, fontsize="small", loc="upper left")

    return _panels(models, draw)


def scatter(sample: Sample, models: Mapping[str, Predictions]) -> Figure:
    """P against p* of every pair where p* is known."""
    known = sample.known

    def draw(axis: Any, predictions: Predictions, color: str) -> None:
        many = bool(known.sum() > _MANY)
        p = predictions.calibrated[known]
        axis.scatter(sample.people[known], p, s=12, alpha=0.45, color=color, linewidths=0, rasterized=many)
        axis.set(xlabel="p*: share of people who prefer a", ylabel="P(a preferred)")
        _unit_square(axis)

    return _panels(models, draw)


def bars(models: Sequence[Assessment], group: str, statistic: str, title: str) -> Figure | None:
    """One group of bars a slice, one bar a model, with its interval; None where no slice has a figure.

    Args:
        group: `category` or `source`.
        statistic: one of those with intervals.
    """
    shown = [i for i, entry in enumerate(models[0].slices) if entry.group == group and _value(entry, statistic)]
    if not shown:
        return None
    names = [f"{models[0].slices[i].name} ({models[0].slices[i].pairs})" for i in shown]
    figure = Figure(figsize=(7.2, 1.2 + (0.3 * len(models) + 0.22) * len(shown)), layout="constrained")
    axis = figure.subplots()
    height = 0.8 / len(models)
    for index, (model, color) in enumerate(zip(models, _cycle(len(models)), strict=True)):
        places = np.arange(len(shown)) + (index - (len(models) - 1) / 2) * height
        ends = np.array([_value(model.slices[i], statistic) or _NO_BAR for i in shown])
        axis.barh(places, ends[:, 0], 0.9 * height, color=color, label=model.name)
        axis.hlines(places, ends[:, 1], ends[:, 2], color="black", linewidth=1)
    axis.set(yticks=np.arange(len(shown)), yticklabels=names, xlabel=title)
    axis.invert_yaxis()
    axis.axvline(0, color="0.6", lw=1)
    if len(models) > 1:
        axis.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure


def best_of_n(models: Sequence[Assessment]) -> Figure | None:
    """What the choice among n answers is worth; None where no prompt has three answers."""
    if not models[0].best_of_n:
        return None
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axis = figure.subplots()
    points = models[0].best_of_n
    n = [point.n for point in points]
    axis.plot(n, [point.best for point in points], "--", color="0.45", label="the best answer")
    axis.plot(n, [point.random for point in points], ":", color="0.45", label="any answer")
    for model, color in zip(models, _cycle(len(models)), strict=True):
        axis.plot(n, [point.chosen for point in model.best_of_n], "o-", color=color, label=model.name)
    axis.set(xlabel="n answers to choose from", ylabel="share that prefers the choice", xticks=n)
    axis.legend(frameon=False, fontsize="small")
    return figure


def _panels(models: Mapping[str, Predictions], draw: Callable[[Any, Predictions, str], None]) -> Figure:
    columns = min(3, len(models))
    lines = -(-len(models) // columns)
    figure = Figure(figsize=(_PANEL * columns, _PANEL * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axis, (name, predictions), color in zip(axes, models.items(), _cycle(len(models)), strict=False):
        draw(axis, predictions, color)
        axis.set_title(name, fontsize="medium")
    for axis in axes[len(models) :]:
        axis.set_visible(False)
    return figure


def _cycle(count: int) -> list[str]:
    return [_MODELS[index % len(_MODELS)] for index in range(count)]


def _curve(axis: Any, probability: Array, chosen: Array, style: str, **options: Any) -> None:
    curve = reliability_curve(probability, chosen)
    axis.plot(curve.predicted, curve.observed, style, markersize=4, **options)


def _unit_square(axis: Any) -> None:
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=0)
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")


def _value(entry: SliceFigures, statistic: str) -> tuple[float, float, float] | None:
    """Value, low, high; the value thrice where there is no interval."""
    found = (entry.people if statistic in entry.people else entry.labels)[statistic]
    if found.estimate is None:
        return None
    low, high = (found.estimate if end is None else end for end in (found.low, found.high))
    return found.estimate, low, high
