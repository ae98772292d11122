"""The study's figures. Seeds are thin lines, their mean a thick one; no proxy reward without the truth."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from research.rlhf.curves import Best, Point

COLORS = {"grpo": "#0072b2", "control": "#7f7f7f", "ppo": "#009e73", "best of n": "#d55e00"}
"""Okabe and Ito's palette: tells apart for color-blind readers too."""
NAMES = {"grpo": "GRPO", "control": "GRPO, rewards shuffled", "ppo": "PPO", "best of n": "best of n"}
Runs = Mapping[str, Sequence[Sequence[Point]]]
"""By kind of run, a curve a seed."""
_PANELS: tuple[tuple[str, Callable[[Point], float]], ...] = (
    ("proxy reward (service)", lambda point: point.reward),
    ("TRUE utility (population)", lambda point: point.utility),
    ("right answers, where there is one", lambda point: point.correct),
    ("tokens an answer", lambda point: point.tokens),
    ("KL to the start policy, nats", lambda point: point.kl),
    ("within the generator's language", lambda point: point.manners["exact"]),
)


def plot_training(runs: Runs, path: Path) -> None:
    """Six panels against updates."""
    figure = Figure(figsize=(12, 6.6), layout="constrained")
    for axis, (title, value) in zip(figure.subplots(2, 3).flat, _PANELS, strict=True):
        for kind, curves in runs.items():
            _bundle(axis, kind, curves, lambda point: point.step, value)
        axis.set(title=title, xlabel="updates")
        axis.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def plot_best_of_n(points: Sequence[Best], path: Path) -> None:
    """Proxy reward and true utility of the best of n, against n and against KL."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axis, against in zip(figure.subplots(1, 2), ("n", "kl"), strict=True):
        x = [getattr(point, against) for point in points]
        for name, color, marker in (("reward", "#d55e00", "o"), ("utility", "#0072b2", "s")):
            mean, low, high = np.array([getattr(point, name) for point in points]).T
            label = "proxy reward (service)" if name == "reward" else "TRUE utility (population)"
            axis.plot(x, mean, f"{marker}-", color=color, label=label)
            axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
        axis.plot(
            x, [point.ceiling for point in points], "s:", color="#0072b2", alpha=0.6, label="utility, chosen by it"
        )
        axis.grid(alpha=0.25)
        axis.set(xlabel="n" if against == "n" else "KL of best of n = log n − (n−1)/n, nats", ylabel="mean an answer")
    figure.axes[0].set_xscale("log", base=2)
    figure.axes[0].set_xticks([point.n for point in points], [str(point.n) for point in points])
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def plot_kl(runs: Runs, best: Sequence[Best], path: Path) -> None:
    """What each way of optimizing buys for the same distance from the start policy."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    titles = ("proxy reward (service)", "TRUE utility (population)")
    for axis, title, name in zip(figure.subplots(1, 2), titles, ("reward", "utility"), strict=True):
        for kind, curves in runs.items():
            _bundle(axis, kind, curves, lambda point: max(0.0, point.kl), _getter(name))
        if best:
            means = [getattr(point, name)[0] for point in best]
            axis.plot([point.kl for point in best], means, "o-", color=COLORS["best of n"], label=NAMES["best of n"])
        axis.set(title=title, xlabel="KL to the start policy, nats an answer")
        axis.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def _getter(name: str) -> Callable[[Point], float]:
    return lambda point: float(getattr(point, name))


def _bundle(
    axis: Any,
    kind: str,
    curves: Sequence[Sequence[Point]],
    x: Callable[[Point], float],
    y: Callable[[Point], float],
) -> None:
    """Each seed thin; their mean thick, over the moments that all have."""
    for curve in curves:
        axis.plot([x(p) for p in curve], [y(p) for p in curve], color=COLORS[kind], alpha=0.4, linewidth=0.8)
    together = list(zip(*curves, strict=False))
    means = [[float(np.mean([of(p) for p in moment])) for moment in together] for of in (x, y)]
    axis.plot(*means, color=COLORS[kind], linewidth=2, label=NAMES[kind])
