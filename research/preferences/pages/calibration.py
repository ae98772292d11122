"""The page of study (e)."""

from pathlib import Path

import numpy as np

from plurality.stats import ece, nll, reliability_curve
from research.preferences.calibration import METHODS, NAME, Case, calibrated, cases
from research.preferences.figures import Array, Judged, Resampled
from research.preferences.pages.page import Page, shown, signed, table
from research.preferences.plots import reliability

_SHOWN = ("(a) soft", "(b) soft: community-alignment", "(b) soft: vicuna80", "(c) mixing")


def write(work: Path) -> None:
    """docs/results/studies/calibration.md, after the runs of studies (a), (b) and (c)."""
    found = cases(work)
    page = Page(NAME)
    judged = [{method: calibrated(case, method) for method in METHODS} for case in found]
    statistics = [
        {method: {key: Resampled(one, of) for key, of in (("ECE", ece), ("NLL", nll))} for method, one in row.items()}
        for row in judged
    ]
    chosen = _chosen(found)
    reliability(
        {f"{found[i].name}\n{found[i].fitted_on}": {method: _curve(one) for method, one in judged[i].items()}
         for i in chosen},
        page.plot("reliability"),
    )  # fmt: skip
    page.write(
        "Study (e): what calibration does in and out of domain",
        [
            "No training: the kept rewards of studies (a), (b) and (c), recalibrated by the product's own calibrators "
            "(`model_export/fit_calibration.py`), all antisymmetric. ECE is two-sided with ten bins, to the share of "
            "people (c: to one person's label). Means over repeats or seeds; intervals are 95 %, 400 resamples of "
            "whole "
            "debates or prompts.",
            "## ECE",
            table(["model and test", "fitted on", *METHODS],
                  [[case.name, case.fitted_on, *(shown(row[method]["ECE"].interval) for method in METHODS)]
                   for case, row in zip(found, statistics, strict=True)]),
            "## Difference to no calibration",
            table(["model and test", "fitted on", *(f"{key}: {method}" for key in ("ECE", "NLL") for method in METHODS
                                                     if method != "none")],
                  [[case.name, case.fitted_on, *(signed(row[method][key].minus(row["none"][key]))
                    for key in ("ECE", "NLL") for method in METHODS if method != "none")]
                   for case, row in zip(found, statistics, strict=True)]),
            page.image("reliability", "reliability diagrams"),
            "## What it says",
            "\n".join(_reading(case, row) for case, row in zip(found, statistics, strict=True)),
        ],
    )  # fmt: skip


def _chosen(found: list[Case]) -> list[int]:
    """The first case of each model and test that is drawn."""
    return [next(i for i, case in enumerate(found) if case.name.startswith(name)) for name in _SHOWN]


def _curve(judged: Judged) -> tuple[Array, Array]:
    curve = reliability_curve(
        np.concatenate(judged.probability_RN), np.tile(judged.fraction_N, len(judged.probability_RN))
    )
    return curve.predicted, curve.observed


def _reading(case: Case, row: dict[str, dict[str, Resampled]]) -> str:
    change = row["temperature"]["ECE"].minus(row["none"]["ECE"])
    best = min(METHODS, key=lambda method: row[method]["NLL"].interval.estimate)
    return (
        f"- {case.name}, fitted on {case.fitted_on}: a temperature changes ECE by {signed(change)}; "
        f"the least NLL has {best}."
    )
