"""MORE's weights over a run, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from plurality.training.more import LAMBDA


def weights_of(history: Sequence[Mapping[str, Any]]) -> tuple[list[int], dict[str, list[float]]]:
    """Steps, and λ of each source at them, from a trainer's log."""
    entries = [entry for entry in history if any(key.startswith(LAMBDA) for key in entry)]
    names = [key for key in entries[0] if key.startswith(LAMBDA)] if entries else []
    steps = [int(entry["step"]) for entry in entries]
    return steps, {name.removeprefix(LAMBDA): [float(entry[name]) for entry in entries] for name in names}


def plot_weights(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a PNG: λ of each source at every step, and its running mean, which is what a reader can follow."""
    steps, weights = weights_of(history)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axis = figure.subplots()
    for index, (name, values) in enumerate(weights.items()):
        color = f"C{index % 10}"
        axis.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
        axis.plot(steps, _running_mean(values, max(1, len(values) // 20)), color=color, label=name)
    axis.axhline(1 / max(1, len(weights)), color="0.6", linewidth=1, linestyle=":", zorder=0)
    axis.set(
        xlabel="optimizer step",
        ylabel="λ (bold: running mean)",
        ylim=(-0.02, 1.02),
        title="MORE's weight of each source",
    )
    if weights:
        for text in axis.legend(frameon=False).get_texts():
            text.set_parse_math(False)
    figure.savefig(path, dpi=150)


def _running_mean(values: Sequence[float], width: int) -> list[float]:
    return [float(np.mean(values[max(0, end - width) : end])) for end in range(1, len(values) + 1)]
