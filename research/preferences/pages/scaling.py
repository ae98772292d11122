"""The page of study (d)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plurality.stats import Interval, cluster_bootstrap, nll, pearson
from plurality.stats.calibration import log_losses
from research.preferences import gold, scaling
from research.preferences.figures import Array, Fold, Judged, Resampled, judge
from research.preferences.pages.page import ENGINE, Page, shown, signed, table
from research.preferences.plots import curves
from research.preferences.powerlaw import PowerLaw, fit_power_law

_PAIRS = np.array(scaling.PAIRS, dtype=np.float64)


def write(work: Path) -> None:
    """Run the missing parts, then write docs/results/studies/scaling.md."""
    runs, known = scaling.runs(work), gold.debates()
    folds = []
    for fold in range(scaling.SEEDS):
        part = known.parts(fold)
        folds.append(Fold(part.validation, part.test, [known.topic[row.id] for row in part.test]))
    judged = {layers: [judge([of[pairs]], folds) for pairs in scaling.PAIRS] for layers, of in runs.items()}
    found = {
        layers: {key: [Resampled(one, of) for one in row] for key, of in (("Pearson", pearson), ("NLL", nll))}
        for layers, row in judged.items()
    }
    page = Page(scaling.NAME)
    laws = {layers: _law(row) for layers, row in judged.items()}
    grid = np.geomspace(_PAIRS.min(), 2 * _PAIRS.max(), 60)
    for key in ("NLL", "Pearson"):
        curves(
            {f"{layers} layers": (scaling.PAIRS, [one.interval for one in of[key]]) for layers, of in found.items()},
            page.plot(key.lower()),
            x="training pairs", y=f"{key} on held-out debates",
            fitted={f"{layers} layers": (grid, law.at(grid)) for layers, (law, _) in laws.items()}
            if key == "NLL" else None,
        )  # fmt: skip
    seconds = [run.seconds for of in runs.values() for found_ in of.values() for run in found_]
    rates = {layers: of[scaling.PAIRS[-1]][0].settings["learning_rate"] for layers, of in runs.items()}
    page.write(
        "Study (d): layers and pairs",
        [
            _about(seconds, rates),
            *(part for key in ("NLL", "Pearson") for part in (
                f"## {key} on held-out debates",
                table(["layers", *(f"{pairs:,} pairs" for pairs in scaling.PAIRS)],
                      [[str(layers), *(shown(one.interval) for one in of[key])] for layers, of in found.items()]),
                page.image(key.lower(), f"{key} against training pairs"))),
            "## Fitted: NLL(n) = E + A·n^−α",
            table(["layers", "E", "A", "α", "α, 95 %"],
                  [[str(layers), f"{law.floor:.3f}", f"{law.scale:.2f}", f"{law.exponent:.2f}",
                    f"{alpha.low:.2f} to {alpha.high:.2f}"] for layers, (law, alpha) in laws.items()]),
            f"α between 0.02 and 3, E not below the entropy of people's own shares; a wide interval means that "
            f"{len(_PAIRS)} sizes do not tell how fast the curve falls, and no extrapolation should be made from it.",
            "## What it says",
            _reading(found),
        ],
    )  # fmt: skip


def _law(row: Sequence[Judged]) -> tuple[PowerLaw, Interval]:
    """The curve, and the exponent's interval over resampled debates."""
    loss_PN = np.array([log_losses(one.probability_RN[0], one.fraction_N) for one in row])

    entropy_N = log_losses(row[0].fraction_N, row[0].fraction_N)

    def law(rows: NDArray[np.intp]) -> PowerLaw:
        return fit_power_law(_PAIRS, _means(loss_PN[:, rows]), least=float(entropy_N[rows].mean()))

    alpha = cluster_bootstrap(lambda rows: law(rows).exponent, row[0].clusters, draws=200)
    return law(np.arange(len(entropy_N))), alpha


def _means(loss_PN: Array) -> Array:
    found: Array = loss_PN.mean(axis=1)
    return found


def _about(seconds: Sequence[float], rates: dict[int, float]) -> str:
    chosen = ", ".join(f"{layers} layers {rate:g}" for layers, rate in rates.items())
    return (
        f"UKPConvArg1 as in study (a): bt on one voter's labels; folds 0 to {scaling.SEEDS - 1} of five held out, one "
        "seed "
        "each (a seed's smaller sample is part of its larger one). all-MiniLM-L6-v2 is cut to its lowest "
        f"{', '.join(map(str, scaling.LAYERS))} layers. {ENGINE} What is trained is therefore of one size; what it "
        "stands "
        "on is not. Debates are the same for all sizes of data: more pairs are more comparisons of the same arguments. "
        f"Steps are as many for all (five epochs of one side of a debate a step). Learning rate of each depth from "
        f"{', '.join(f'{rate:g}' for rate in scaling.RATES)} on seed 0's validation debates with 3,000 pairs, kept for "
        f"smaller samples: {chosen}. {len(seconds)} runs of {min(seconds):.0f} to {max(seconds):.0f} s. P has a "
        "temperature from validation debates. Intervals are 95 %, over resampled debates of the three folds."
    )


def _reading(found: dict[int, dict[str, list[Resampled]]]) -> str:
    shallow, deep = min(found), max(found)
    lines = []
    for key in ("NLL", "Pearson"):
        size = found[deep][key][-1].minus(found[shallow][key][-1])
        data = {layers: of[key][-1].minus(of[key][0]) for layers, of in found.items()}
        grown = "; ".join(f"{layers} layers {signed(gain)}" for layers, gain in data.items())
        lines += [
            f"- {key}, {deep} against {shallow} layers at {scaling.PAIRS[-1]:,} pairs: {signed(size)}.",
            f"- {key}, {scaling.PAIRS[-1]:,} against {scaling.PAIRS[0]} pairs: {grown}.",
        ]
    return "\n".join(
        [
            *lines,
            "- More layers under a frozen trunk are not simply better: the uppermost layers of this encoder were made "
            "for the mean of all tokens as a sentence's place, and one trained layer reads its first token. This is "
            "scaling of what can be had from cached activations, not of fine-tuning the whole model.",
        ]
    )
