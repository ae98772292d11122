"""Study (e): what post-hoc calibration does to ECE, in the domain that it was fitted on and elsewhere.

No training: the kept rewards of studies (a), (b) and (c). A case is a way to go from the pairs that a calibrator is
fitted on to those that it is judged on.
"""

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_export.errors import ExportError
from model_export.fit_calibration import fit_isotonic, fit_power, probabilities
from research.preferences import gold, silver, sources
from research.preferences.figures import Array, Judged, Rows, differences, fractions_of, tempered
from research.preferences.folds import FOLDS
from research.preferences.store import Run
from service.bundle.calibrate import UNCALIBRATED, Calibrator

NAME = "calibration"
METHODS: Mapping[str, Callable[[Array, Array], Calibrator]] = {
    "none": lambda _gap, _label: UNCALIBRATED,
    "temperature": tempered,
    "power": fit_power,
    "isotonic": fit_isotonic,
}
"""Where rewards go against the labels there is nothing to fit: P is then all but 1/2 under each but `none`."""


@dataclass(frozen=True, slots=True)
class Part:
    """One model's kept rewards on pairs to fit on and pairs to judge on."""

    run: Run
    fit: Rows
    test: Rows
    clusters: Sequence[Hashable]


@dataclass(frozen=True, slots=True)
class Case:
    """From where to where."""

    name: str
    fitted_on: str
    repeats: Sequence[Sequence[Part]]
    """R repeats; each repeat's parts are joined, and all repeats have the same test pairs."""


def calibrated(case: Case, method: str) -> Judged:
    """Predictions of all parts under one method."""
    parts = [[_predicted(part, method) for part in repeat] for repeat in case.repeats]
    first = case.repeats[0]
    probability_RN = np.array([np.concatenate(found) for found in parts])
    return Judged(
        probability_RN,
        probability_RN,
        np.concatenate([fractions_of(part.test) for part in first]),
        [cluster for part in first for cluster in part.clusters],
    )


def _predicted(part: Part, method: str) -> Array:
    gap, label = differences(part.run, part.fit), fractions_of(part.fit)
    try:
        calibrator = METHODS[method](gap, label)
    except ExportError:
        calibrator = tempered(gap, label)
    return probabilities(calibrator, differences(part.run, part.test))


def half(prompt: str) -> int:
    """0 or 1 by a hash of the prompt."""
    return hashlib.sha256(f"half:{prompt}".encode()).digest()[0] % 2


def cases(work: Path) -> list[Case]:
    """In and out of domain, from the objectives bt and soft (a, b) and from mixing (c)."""
    found: list[Case] = []
    debates, debate_runs = gold.debates(), gold.runs(work)
    judges, judge_runs = silver.silver(), silver.runs(work)
    for objective in ("bt", "soft"):
        found.append(_debate_case(objective, debates, debate_runs[objective]))
        for name, rows in judges.people.items():
            found += _people_cases(objective, name, rows, judges, judge_runs[objective])
    return [*found, *_source_cases(sources.mixed(), sources.runs(work)["mixing"])]


def _debate_case(objective: str, debates: gold.Debates, runs: Sequence[Run]) -> Case:
    repeats = []
    for start in range(0, len(runs), FOLDS):
        parts = []
        for fold, run in enumerate(runs[start : start + FOLDS]):
            part = debates.parts(fold)
            parts.append(Part(run, part.validation, part.test, [debates.topic[row.id] for row in part.test]))
        repeats.append(parts)
    return Case(f"(a) {objective}: held-out debates", "other held-out debates' votes", repeats)


def _people_cases(objective: str, name: str, rows: Rows, judges: silver.Silver, runs: Sequence[Run]) -> list[Case]:
    halves = [[row for row in rows if half(row.prompt_key) == side] for side in (0, 1)]
    both = [row for part in halves for row in part]
    clusters = [[row.prompt_key for row in part] for part in halves]
    there = [[Part(run, judges.validation, both, [row.prompt_key for row in both])] for run in runs]
    here = [[Part(run, halves[1 - side], halves[side], clusters[side]) for side in (0, 1)] for run in runs]
    return [
        Case(f"(b) {objective}: {name}", "LLM judges, other prompts (out of domain)", there),
        Case(f"(b) {objective}: {name}", "people's votes, the other half of the prompts (in domain)", here),
    ]


def _source_cases(known: sources.Mixed, runs: Sequence[Run]) -> list[Case]:
    def of(rows: Rows, name: str, *, other: bool = False) -> Rows:
        return [row for row in rows if (row.source == name) != other]

    def repeats(other: bool | None) -> list[list[Part]]:
        found = []
        for run in runs:
            parts = []
            for name in sources.SOURCES:
                test = of(known.test, name)
                fit = known.validation if other is None else of(known.validation, name, other=other)
                parts.append(Part(run, fit, test, [f"{name}:{row.prompt_key}" for row in test]))
            found.append(parts)
        return found

    return [
        Case("(c) mixing: five sources, pooled", "all sources", repeats(None)),
        Case("(c) mixing: five sources, pooled", "each source's own pairs", repeats(False)),
        Case("(c) mixing: five sources, pooled", "the four other sources (out of domain)", repeats(True)),
    ]
