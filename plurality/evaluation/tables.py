"""Both papers' tables as records: pure functions of rows and predictions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from plurality.evaluation.compare import Comparison, compare
from plurality.evaluation.figures import WITH_INTERVAL, SliceFigures, slice_figures
from plurality.evaluation.predict import Predictions
from plurality.evaluation.sample import ALL, Sample, Slice, slices
from plurality.evaluation.selection import BestOfN, best_of_n_curve
from plurality.stats import Outliers, outliers, pearson
from plurality.stats.paired import Figure, Resampling, figure

SCHEMA_VERSION: Final = 1
"""Of results.json; grows when a field goes or changes its meaning."""

Progress = Callable[[Iterable[Slice], str], Iterable[Slice]]


@dataclass(frozen=True, slots=True)
class Predictor:
    """A model or a trivial baseline, with what it says of every pair."""

    name: str
    predictions: Predictions
    trivial: bool = False
    version: Mapping[str, Any] | None = None
    """What is known of a model's version, for the report."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """Everything about one predictor."""

    name: str
    trivial: bool
    version: Mapping[str, Any] | None
    slices: Sequence[SliceFigures]
    """Of the calibrated probability; a baseline has `All` alone."""
    raw: SliceFigures
    """All pairs with σ(r_a − r_b), no temperature: the first paper's predictions."""
    pearson_of_difference: float | None
    """Of r_a − r_b itself to p*: σ saturates, and Pearson sees that."""
    mean_source_accuracy: float | None
    """Mean of the sources' accuracies, each counted once: the second paper's `avg accuracy`, RewardBench's score."""
    outliers: Outliers | None
    """Of r_preferred − r_other over the decided labels."""
    best_of_n: Sequence[BestOfN]

    @property
    def overall(self) -> SliceFigures:
        """The line of all pairs."""
        return next(entry for entry in self.slices if entry.group == "all")


@dataclass(frozen=True, slots=True)
class Results:
    """What the report and results.json hold."""

    schema_version: int
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    models: Sequence[Assessment]
    baselines: Sequence[Assessment]
    comparisons: Sequence[Comparison]
    """Every further model against the first, and the first against each baseline (on all pairs)."""
    notes: Sequence[str]

    @property
    def further(self) -> list[Comparison]:
        """The comparisons of models with the first, without those of baselines."""
        names = {model.name for model in self.models}
        return [comparison for comparison in self.comparisons if comparison.other in names]

    def as_json(self) -> dict[str, Any]:
        """Plain values; an undefined figure is null."""
        return asdict(self, dict_factory=_as_written)


_FIGURE: Final = tuple(field.name for field in fields(Figure))


def _as_written(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    # In results.json the value of a figure is `value`.
    return {"value": found.pop("estimate"), **found} if tuple(found) == _FIGURE else found


def evaluate(
    sample: Sample,
    models: Sequence[Predictor],
    baselines: Sequence[Predictor],
    resampling: Resampling,
    *,
    data: Mapping[str, Any],
    notes: Sequence[str] = (),
    progress: Progress = lambda entries, _: entries,
) -> Results:
    """Every table of every predictor.

    Args:
        data: what is known of the file, for the report.
        notes: what the reader should know; more are added.
        progress: wraps the slices of each step, told its name.
    """
    entries = slices(sample)
    overall = [entry for entry in entries if entry.group == "all"]
    first = models[0]
    comparisons = [
        _compare(sample, first, other, progress(chosen, f"{first.name} and {other.name}"), resampling)
        for others, chosen in ((models[1:], entries), (baselines, overall))
        for other in others
    ]
    return Results(
        schema_version=SCHEMA_VERSION,
        data={**data, **_sizes(sample)},
        settings={
            "bootstrap": resampling.draws,
            "seed": resampling.seed,
            "level": 0.95,
            "bins": 10,
            "id_sources": list(sample.id_sources),
            "with_interval": list(WITH_INTERVAL),
        },
        models=[assess(sample, progress(entries, model.name), model, resampling) for model in models],
        baselines=[assess(sample, progress(overall, entry.name), entry, resampling) for entry in baselines],
        comparisons=comparisons,
        notes=[*notes, *_notes(sample)],
    )


def assess(sample: Sample, entries: Iterable[Slice], predictor: Predictor, resampling: Resampling) -> Assessment:
    """Every figure of one predictor on these slices."""
    predictions = predictor.predictions
    figures = [slice_figures(sample, entry, predictions.calibrated, resampling) for entry in entries]
    everything = Slice("all", ALL, np.arange(len(sample.rows)))
    return Assessment(
        name=predictor.name,
        trivial=predictor.trivial,
        version=predictor.version,
        slices=figures,
        raw=slice_figures(sample, everything, predictions.raw, None),
        pearson_of_difference=_pearson_of_difference(sample, predictions),
        mean_source_accuracy=_mean_source_accuracy(figures, sample),
        outliers=_outliers(sample, predictions),
        best_of_n=best_of_n_curve(sample, predictions),
    )


def _compare(
    sample: Sample, first: Predictor, other: Predictor, entries: Iterable[Slice], resampling: Resampling
) -> Comparison:
    sides = [(predictor.name, predictor.predictions.calibrated) for predictor in (first, other)]
    return compare(sample, list(entries), sides[0], sides[1], resampling)


def _pearson_of_difference(sample: Sample, predictions: Predictions) -> float | None:
    return figure(pearson, predictions.margin[sample.known], sample.people[sample.known]).estimate


def _mean_source_accuracy(figures: Sequence[SliceFigures], sample: Sample) -> float | None:
    sources = {row.source for row in sample.rows}
    found = [
        entry.labels["accuracy"].estimate for entry in figures if entry.group == "source" and entry.name in sources
    ]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values and len(values) == len(found) else None


def _outliers(sample: Sample, predictions: Predictions) -> Outliers | None:
    side = np.sign(sample.label - 0.5)
    decided = side != 0
    return outliers((side * predictions.margin)[decided]) if decided.any() else None


def _sizes(sample: Sample) -> dict[str, int]:
    prompts = len(set(sample.prompts))
    return {"pairs": len(sample.rows), "prompts": prompts, "pairs_with_people": int(sample.known.sum())}


def _notes(sample: Sample) -> list[str]:
    notes = []
    missing = int((~sample.known).sum())
    if missing == len(sample.rows):
        notes.append(
            "no pair has a p* (true_preference, votes, or --votes FILE): the first paper's tables, which compare with "
            "it, have no figures"
        )
    elif missing:
        notes.append(f"{missing} of {len(sample.rows)} pairs have no p* and count only in the second paper's table")
    present = {row.source for row in sample.rows}
    notes += [f"--id-sources: no pair is from {name!r}" for name in sample.id_sources if name not in present]
    soft = int(((sample.label != 0) & (sample.label != 1)).sum())
    if soft:
        notes.append(f"{soft} labels are fractions: the noise floor of ECE is that of choices, and too high for them")
    return notes
