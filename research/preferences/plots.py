"""The studies' figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from plurality.stats import Interval
from research.preferences.figures import Array

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")
"""Okabe and Ito's: tells apart for color-blind readers too."""


def forest(panels: Mapping[str, Mapping[str, Interval]], path: Path, *, against: str) -> None:
    """A panel a statistic: each model's difference to one of them, with its interval."""
    figure = Figure(figsize=(3.4 * len(panels), 3.6), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axis, (title, found) in zip(axes, panels.items(), strict=True):
        for place, interval in enumerate(found.values()):
            color = "#7f7f7f" if interval.low <= 0 <= interval.high else "#0072b2"
            axis.plot([interval.low, interval.high], [place, place], color=color, linewidth=2)
            axis.plot(interval.estimate, place, "o", color=color)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_yticks(range(len(found)), list(found))
        axis.set(title=title, xlabel=f"difference to {against}")
        axis.grid(alpha=0.25, axis="x")
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=130)


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[Interval]]],
    path: Path,
    *,
    x: str,
    y: str,
    fitted: Mapping[str, tuple[Array, Array]] | None = None,
    logarithmic: bool = True,
) -> None:
    """Plot points with their intervals and the fitted curve."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for color, (name, (at, found)) in zip(PALETTE, lines.items(), strict=False):
        middle = [interval.estimate for interval in found]
        reach = [[i.estimate - i.low for i in found], [i.high - i.estimate for i in found]]
        axis.errorbar(at, middle, yerr=reach, fmt="o" if fitted else "o-", color=color, capsize=3, label=name)
        if fitted and name in fitted:
            axis.plot(*fitted[name], color=color, linewidth=1.2)
    if logarithmic:
        axis.set_xscale("log", base=2)
        ticks = sorted({value for at, _ in lines.values() for value in at})
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
    axis.set(xlabel=x, ylabel=y)
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=130)


def weights(lines: Mapping[str, Sequence[Sequence[float]]], path: Path, *, smooth: int = 7) -> None:
    """λ of each source over steps: seeds thin and smoothed, their mean thick."""
    figure = Figure(figsize=(7.4, 4.0), layout="constrained")
    axis = figure.subplots()
    kernel = np.ones(smooth) / smooth
    for color, (name, seeds) in zip(PALETTE, lines.items(), strict=False):
        smoothed = [np.convolve(seed, kernel, mode="valid") for seed in seeds]
        for seed in smoothed:
            axis.plot(seed, color=color, alpha=0.35, linewidth=0.8)
        axis.plot(np.mean(smoothed, axis=0), color=color, linewidth=2, label=name)
    axis.axhline(1 / len(lines), color="black", linewidth=0.8, linestyle=":")
    axis.set(xlabel="step", ylabel=f"λ, mean of {smooth} steps")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=130)


def scatter(panels: Mapping[str, Mapping[str, tuple[Array, Array]]], path: Path, *, y: str) -> None:
    """A panel an x; a color a kind."""
    figure = Figure(figsize=(4.2 * len(panels), 3.8), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axis, (title, kinds) in zip(axes, panels.items(), strict=True):
        for color, (name, (at, value)) in zip(PALETTE, kinds.items(), strict=False):
            axis.plot(at, value, "o", color=color, markersize=3.5, alpha=0.7, label=name)
        axis.set(xlabel=title)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(y)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def reliability(panels: Mapping[str, Mapping[str, tuple[Array, Array]]], path: Path) -> None:
    """Predicted against observed, a panel a data set, a line a calibration."""
    figure = Figure(figsize=(3.6 * len(panels), 3.8), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
        for color, (name, (predicted, observed)) in zip(PALETTE, lines.items(), strict=False):
            axis.plot(predicted, observed, "o-", color=color, markersize=3.5, label=name)
        axis.set_title(title, fontsize=8)
        axis.set(xlabel="predicted P(a preferred)", xlim=(0, 1), ylim=(0, 1))
        axis.grid(alpha=0.25)
    axes[0].set_ylabel("share of people")
    axes[-1].legend(frameon=False)
    figure.savefig(path, dpi=130)
