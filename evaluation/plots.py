"""Plots for people: reliability and agreement with the population, one panel a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from evaluation.evaluate import Array, Predictions
from training.rows import PreferenceRow

_COLOURS = {"objective": "#0072b2", "subjective": "#d55e00"}
"""Okabe and Ito's palette: tells apart for colour-blind readers too."""
_BINS = 10


def plot_agreement(rows: Sequence[PreferenceRow], models: Mapping[str, Predictions], path: Path) -> None:
    """Write a PNG: above, predicted P against p* of every pair; below, predicted against observed by bin."""
    figure = Figure(figsize=(4.6 * len(models), 8.4), layout="constrained")
    axes = figure.subplots(2, len(models), squeeze=False)
    truth = np.array([row.true_preference if row.true_preference is not None else np.nan for row in rows])
    label = np.array([row.label for row in rows])
    kinds = np.array([row.category or "" for row in rows])
    for column, (name, predictions) in enumerate(models.items()):
        top, bottom = axes[0][column], axes[1][column]
        for kind, colour in _COLOURS.items():
            chosen = kinds == kind
            top.scatter(truth[chosen], predictions.calibrated[chosen], s=9, alpha=0.5, color=colour, label=kind)
        top.set(title=name, xlabel="p*: share of people who prefer a", ylabel="calibrated P(a preferred)")
        for probability, style, text in ((predictions.raw, "s--", "raw"), (predictions.calibrated, "o-", "calibrated")):
            bottom.plot(*_reliability(probability, label), style, label=text)
        bottom.set(xlabel="predicted P(a preferred)", ylabel="observed share that chose a")
        for axis in (top, bottom):
            axis.plot([0, 1], [0, 1], color="0.6", linewidth=1, zorder=0)
            axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
            axis.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _reliability(probability: Array, label: Array) -> tuple[list[float], list[float]]:
    bins = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    filled = [b for b in range(_BINS) if (bins == b).any()]
    return [float(probability[bins == b].mean()) for b in filled], [float(label[bins == b].mean()) for b in filled]
