"""The page of study (c)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.fit_calibration import probabilities
from plurality.stats import Interval, ece, ece_noise_floor, nll, outliers
from plurality.training.more import LAMBDA
from research.preferences import sources
from research.preferences.figures import (
    Array,
    Judged,
    Resampled,
    Statistic,
    accuracy,
    differences,
    fractions_of,
    judge,
    temperature,
)
from research.preferences.pages.page import ENGINE, Page, cost, shown, signed, table
from research.preferences.plots import forest, weights
from research.preferences.store import Run

POOLED = "all five, pooled"
_STATISTICS: Mapping[str, Statistic] = {"accuracy": accuracy, "ECE": ece, "NLL": nll}
_METHODS = ("mixing", "MORE", "mixing + T", "MORE + T", "mixing + T per source", "MORE + T per source")


def write(work: Path) -> None:
    """Run the missing parts, then write docs/results/studies/sources.md."""
    runs, known = sources.runs(work), sources.mixed()
    cut = sources.corpus_of(known, work).cut_share
    models = _models(runs, known)
    source = np.array([row.source for row in known.test])
    places = {name: source == name for name in sources.SOURCES} | {POOLED: np.ones(len(source), dtype=bool)}
    page = Page(sources.NAME)
    found = {
        place: {
            model: {key: Resampled(one.select(chosen), of) for key, of in _STATISTICS.items()}
            for model, one in models.items()
        }
        for place, chosen in places.items()
    }
    lambdas = {
        name.removeprefix(LAMBDA): [run.log[name] for run in runs["more"]]
        for name in sorted(runs["more"][0].log) if name.startswith(LAMBDA)
    }  # fmt: skip
    weights(lambdas, page.plot("lambda"))
    pooled = found[POOLED]
    against = {
        key: {model: pooled[model][key].minus(pooled["mixing"][key]) for model in _METHODS if model != "mixing"}
        for key in _STATISTICS
    }
    forest(against, page.plot("differences"), against="mixing")
    page.write(
        "Study (c): MORE, mixing, and mixing with temperatures",
        [
            _about(known, cut), cost(runs),
            "## Accuracy",
            _by_place(found, "accuracy", ("mixing", "MORE")),
            "Temperatures do not change it.",
            "## Calibration error (two-sided, ten bins)",
            _by_place(found, "ECE", _METHODS, floors={
                place: _floor(models["mixing + T"], chosen) for place, chosen in places.items()}),
            "Noise floor: what a perfect model shows on as few pairs (mean, and 95 % below). Where a source's figure "
            "is "
            "not above it, it says nothing, and the pooled line is the one to read.",
            "## NLL",
            _by_place(found, "NLL", _METHODS),
            "## Pooled, against plain mixing",
            table(["method − mixing", *_STATISTICS],
                  [[model, *(signed(against[key][model]) for key in _STATISTICS)]
                   for model in _METHODS if model != "mixing"]),
            page.image("differences", "differences to mixing with intervals"),
            "MORE against the honest control, mixing with a temperature: " + "; ".join(
                f"{name} {signed(first.minus(second))}" for name, first, second in _controls(pooled)) + ".",
            "## Reward drift: r_preferred − r_other on the test pairs",
            _drift(runs, known, source),
            "## λ",
            page.image("lambda", "λ of each source over steps"),
            "Mean over all steps and seeds: " + ", ".join(
                f"{name} {np.mean(values):.2f}" for name, values in lambdas.items()) + ". Dotted: plain mixing.",
            "## What it says",
            _reading(pooled, against),
        ],
    )  # fmt: skip


def _models(runs: Mapping[str, list[Run]], known: sources.Mixed) -> dict[str, Judged]:
    fold = sources.fold_of(known)
    found: dict[str, Judged] = {}
    for name, label in (("mixing", "mixing"), ("more", "MORE")):
        pooled = judge([[run] for run in runs[name]], [fold])
        own = np.array([_per_source(run, known) for run in runs[name]])
        found[label] = replace(pooled, probability_RN=pooled.raw_RN)
        found[f"{label} + T"] = pooled
        found[f"{label} + T per source"] = replace(pooled, probability_RN=own)
    return {name: found[name] for name in _METHODS}


def _per_source(run: Run, known: sources.Mixed) -> Array:
    own = {
        name: temperature(run, [row for row in known.validation if row.source == name]).temperature
        for name in sources.SOURCES
    }
    calibrator = replace(temperature(run, known.validation), sources=own)
    return probabilities(calibrator, differences(run, known.test), [row.source for row in known.test])


def _by_place(
    found: Mapping[str, Mapping[str, Mapping[str, Resampled]]],
    key: str,
    methods: Sequence[str],
    floors: Mapping[str, str] | None = None,
) -> str:
    rows = [
        [place, *(shown(of[model][key].interval) for model in methods), *([floors[place]] if floors else [])]
        for place, of in found.items()
    ]
    return table(["source", *methods, *(["noise floor"] if floors else [])], rows)


def _floor(judged: Judged, chosen: NDArray[np.bool_]) -> str:
    floor = ece_noise_floor(judged.probability_RN[0][chosen])
    return f"{floor.mean:.3f} (< {floor.high:.3f})"


def _drift(runs: Mapping[str, list[Run]], known: sources.Mixed, source: NDArray[np.str_]) -> str:
    side = np.sign(fractions_of(known.test) - 0.5)
    rows = []
    for name in sources.SOURCES:
        cells = []
        for method in ("mixing", "more"):
            towards = [side[source == name] * differences(run, known.test)[source == name] for run in runs[method]]
            means, spreads = [float(gap.mean()) for gap in towards], [float(gap.std()) for gap in towards]
            tails = [outliers(gap) for gap in towards]
            counts = np.mean([tail.low_count for tail in tails]), np.mean([tail.high_count for tail in tails])
            cells += [f"{np.mean(means):+.2f}", f"{np.mean(spreads):.2f}", f"{counts[0]:.0f} / {counts[1]:.0f}"]
        rows.append([name, *cells])
    names = [f"{method}: {what}" for method in ("mixing", "MORE") for what in ("mean", "std", "outliers low / high")]
    return table(["source", *names], rows)


def _controls(pooled: Mapping[str, Mapping[str, Resampled]]) -> list[tuple[str, Resampled, Resampled]]:
    return [
        ("accuracy", pooled["MORE"]["accuracy"], pooled["mixing"]["accuracy"]),
        ("ECE, MORE as trained", pooled["MORE"]["ECE"], pooled["mixing + T"]["ECE"]),
        ("ECE, both with T", pooled["MORE + T"]["ECE"], pooled["mixing + T"]["ECE"]),
        ("NLL, both with T", pooled["MORE + T"]["NLL"], pooled["mixing + T"]["NLL"]),
    ]


def _about(known: sources.Mixed, cut: float) -> str:
    counts = {
        name: [sum(row.source == name for row in part) for part in (known.train, known.validation, known.test)]
        for name in sources.SOURCES
    }
    listed = "; ".join(f"{name} {', '.join(map(str, count))}" for name, count in counts.items())
    return (
        "Five sources of single human labels, ties left out, split by prompt (dialogues that open alike, and both "
        "sides of "
        f"a debate, stay together); pairs to train, validate and test: {listed}. Licenses: dsp-helpful and dsp-webgpt "
        "CC-BY-NC-4.0, hh-rlhf-harmless MIT, finegrained-qa Apache-2.0, ukpconvarg1 CC-BY-4.0 (one voter's choice a "
        "pair). "
        "Every step holds 16 pairs of each source (arXiv 2312.07401, App. B), under both methods: mixing weighs them "
        "1/5 "
        "each, MORE by λ, solved anew each step from the head's gradients with the product's own solver. Bradley-Terry "
        f"loss; {sources.METHODS['mixing'].epochs} epochs of the largest source; learning rates "
        f"{', '.join(f'{rate:g}' for rate in sources.RATES)}, the best by NLL after a temperature on seed 0's "
        "validation "
        f"pairs; {sources.SEEDS} seeds of one split. {ENGINE} Texts are cut to {sources.MAX_LENGTH} tokens, prompts "
        "first "
        f"({cut:.1%} are longer). Statistics are means over seeds; intervals are 95 %, 400 resamples of whole prompts."
    )


def _reading(pooled: Mapping[str, Mapping[str, Resampled]], against: Mapping[str, Mapping[str, Interval]]) -> str:
    raw, fair = against["ECE"]["MORE"], pooled["MORE + T"]["ECE"].minus(pooled["mixing + T"]["ECE"])
    return "\n".join(
        [
            f"- Accuracy, MORE − mixing: {signed(against['accuracy']['MORE'])} (the paper, Table 2: +0.0 to +1.0 "
            "points, "
            "−0.6 at 13B).",
            f"- ECE as trained, MORE − mixing: {signed(raw)} (the paper: −.006 to −.018). With a temperature for both: "
            f"{signed(fair)}.",
            f"- A temperature alone changes mixing's ECE by {signed(against['ECE']['mixing + T'])}.",
            "- λ stays near 1/5: gradients of 16 pairs a source are mostly noise, about as long and as good as "
            "orthogonal "
            "for all sources, and then the solver has little to choose between.",
            "- So few pairs leave some sources at chance (see accuracy) and the models over-confident. What is "
            "compared is "
            "two ways of weighing five small sources under one trained layer; it is no verdict on MORE at 40,000 "
            "pairs a "
            "source and 1.4 billion parameters, where the paper's own gain in accuracy is about a point.",
        ]
    )
