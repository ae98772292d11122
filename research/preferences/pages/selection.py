"""The page of study (f)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plurality.stats import Interval, cluster_bootstrap, pearson, spearman
from research.preferences import gold, scaling
from research.preferences.figures import Array
from research.preferences.pages.page import Page, shown, table
from research.preferences.plots import scatter
from research.preferences.selection import NAME, NS, Checkpoint, checkpoints, within_folds

_Predictor = Callable[[Checkpoint], float]
_PREDICTORS: Mapping[str, _Predictor] = {
    "ECE as trained": lambda one: one.ece,
    "ECE with temperature": lambda one: one.ece_calibrated,
    "NLL with temperature": lambda one: one.nll,
    "accuracy": lambda one: one.accuracy,
    "Pearson to p*": lambda one: one.pearson,
}


def write(work: Path) -> None:
    """docs/results/studies/selection.md, after the runs of studies (a) and (d)."""
    gold.runs(work)
    scaling.runs(work)
    found = checkpoints(work)
    page = Page(NAME)
    folds = [one.fold for one in found]
    mean_gain = within_folds(np.array([np.mean(list(one.gain.values())) for one in found]), folds)
    scatter(
        {
            f"{name}, within fold": {
                study: _points(found, folds, value, mean_gain, study) for study in (gold.NAME, scaling.NAME)
            }
            for name, value in _PREDICTORS.items()
        },
        page.plot("gain"), y="gain of best of n, within fold",
    )  # fmt: skip
    page.write(
        "Study (f): calibration error against the true gain of best of n",
        [
            _about(found),
            "## What best of n gains",
            table(["checkpoints", *(f"n = {n}" for n in NS)],
                  [[name, *(_spread([one.gain[n] for one in of]) for n in NS)] for name, of in _kinds(found).items()]),
            "Share of what choosing by people's own shares would gain; mean over checkpoints, least and most in "
            "brackets. "
            "0 is a random choice.",
            "## Correlation with the gain, over all checkpoints, within folds",
            table(["figure on held-out pairs", "Spearman, mean gain", *(f"Pearson, n = {n}" for n in NS)],
                  [_row(found, folds, name, value, mean_gain) for name, value in _PREDICTORS.items()]),
            page.image("gain", "gain against ECE, NLL, accuracy and Pearson"),
            "Intervals are 95 %, over resampled kinds of checkpoints (an objective with a learning rate, a size with a "
            "number of pairs): checkpoints that share data are no independent evidence, so read them as a description "
            "of these models. Each figure and gain is less its fold's mean, since debates differ whatever the model.",
            "The gain is made of the same votes as accuracy, NLL and Pearson, and at n = 2 accuracy is nearly the gain "
            "itself: these correlations are high by construction, that of ECE shares the votes' noise.",
            "Best of n knows only the order of rewards: no temperature can change its gain, and \"ECE with "
            "temperature\" moves only through what training did to the order. A correlation with \"ECE as trained\" "
            "is a "
            "correlation over ways of training.",
            "## What it says",
            _reading(found, folds, mean_gain),
        ],
    )  # fmt: skip


def _points(
    found: Sequence[Checkpoint], folds: Sequence[int], value: _Predictor, gain: Array, study: str
) -> tuple[Array, Array]:
    own = np.array([one.study == study for one in found])
    return within_folds(np.array([value(one) for one in found]), folds)[own], gain[own]


def _kinds(found: Sequence[Checkpoint]) -> dict[str, list[Checkpoint]]:
    return {
        "all": list(found),
        "study (a), six layers, 3,000 pairs": [one for one in found if one.study == gold.NAME],
        "study (d), all sizes": [one for one in found if one.study == scaling.NAME],
    }


def _spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _correlation(
    found: Sequence[Checkpoint], folds: Sequence[int], value: _Predictor, gain: Array, of: Callable[..., float]
) -> Interval:
    x = within_folds(np.array([value(one) for one in found]), folds)

    def statistic(rows: NDArray[np.intp]) -> float:
        return of(x[rows], gain[rows])

    return cluster_bootstrap(statistic, [f"{one.study}/{one.kind}" for one in found])


def _row(
    found: Sequence[Checkpoint], folds: Sequence[int], name: str, value: _Predictor, mean_gain: Array
) -> list[str]:
    by_n = [within_folds(np.array([one.gain[n] for one in found]), folds) for n in NS]
    return [
        name,
        shown(_correlation(found, folds, value, mean_gain, spearman), 2),
        *(shown(_correlation(found, folds, value, gain, pearson), 2) for gain in by_n),
    ]


def _about(found: Sequence[Checkpoint]) -> str:
    return (
        f"{len(found)} checkpoints: all runs of studies (a) and (d), learning-rate sweeps among them "
        f"({sum(one.study == gold.NAME for one in found)} and {sum(one.study == scaling.NAME for one in found)}). In "
        "each "
        "held-out side of a debate an argument's utility is the mean share of people who prefer it, over its voted "
        "pairs "
        "(about 32 pairs of five votes). Best of n picks the highest reward among n arguments of the side drawn at "
        "random; "
        "its expected utility is exact (all subsets), averaged over the sides that the checkpoint held out."
    )


def _reading(found: Sequence[Checkpoint], folds: Sequence[int], gain: Array) -> str:
    lines = []
    for name, value in _PREDICTORS.items():
        rank = _correlation(found, folds, value, gain, spearman)
        known = "excludes 0" if rank.low > 0 or rank.high < 0 else "includes 0"
        lines.append(f"- {name}: Spearman with the gain {shown(rank, 2)}; the interval {known}.")
    return "\n".join(lines)
