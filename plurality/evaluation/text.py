"""The tables as lines of text."""

from collections.abc import Iterator, Sequence

from plurality.evaluation.compare import Comparison, Difference
from plurality.evaluation.figures import SliceFigures
from plurality.evaluation.tables import Assessment, Results
from plurality.stats.paired import Figure

NONE = "–"
"""Where a statistic has no value."""
_NAME = 30
_CELL = 23


def figure(entry: Figure, digits: int = 3) -> str:
    """`0.677 [0.410, 0.840]`, without the interval where there is none."""
    if entry.estimate is None:
        return NONE
    if entry.low is None or entry.high is None:
        return f"{entry.estimate:.{digits}f}"
    return f"{entry.estimate:.{digits}f} [{entry.low:.{digits}f}, {entry.high:.{digits}f}]"


def difference(entry: Difference | None, digits: int = 3) -> str:
    """`+0.040 [-0.010, +0.090]`."""
    if entry is None:
        return NONE
    if entry.low is None or entry.high is None:
        return f"{entry.estimate:+.{digits}f}"
    return f"{entry.estimate:+.{digits}f} [{entry.low:+.{digits}f}, {entry.high:+.{digits}f}]"


def line_name(entry: SliceFigures, *, people: bool) -> str:
    """`webgpt (25)`; a star where the prompts are few."""
    return f"{entry.name} ({entry.with_people if people else entry.pairs}){'*' if entry.small else ''}"


def find(comparison: Comparison, entry: SliceFigures, statistic: str) -> Difference | None:
    """The difference of a statistic on a slice."""
    for found in comparison.differences:
        if (found.group, found.name, found.statistic) == (entry.group, entry.name, statistic):
            return found
    return None


def lines(results: Results) -> Iterator[str]:
    """Everything that is printed."""
    data = results.data
    known = data["pairs_with_people"]
    yield f"{data['file']}: {data['pairs']} pairs on {data['prompts']} prompts, p* known for {known}"
    if known:
        yield from _first_paper(results, "pearson", "Pearson correlation of P(a preferred) with p*", "Table 1")
        yield from _first_paper(results, "l1", "L1 distance |P(a preferred) − p*|", "Table 2")
        yield from correlation_tests(results)
    for model in results.models:
        yield from _second_paper(model)
    yield from _baselines(results)
    yield from _small(results)
    for note in results.notes:
        yield f"note: {note}"


def _first_paper(results: Results, statistic: str, title: str, table: str) -> Iterator[str]:
    models, others = results.models, results.further
    yield ""
    yield f"{title} (arXiv 2412.03822, {table}), with 95 % intervals over prompts"
    yield _row("", [model.name for model in models] + [f"Δ {other.other}" for other in others])
    for index, entry in enumerate(models[0].slices):
        if entry.with_people:
            cells = [figure(model.slices[index].people[statistic]) for model in models]
            cells += [difference(find(other, entry, statistic)) for other in others]
            yield _row(line_name(entry, people=True), cells)
    raw = [figure(model.raw.people[statistic]) for model in models]
    yield _row("All, σ(Δ) without calibration", raw)
    if statistic == "pearson":
        yield _row("All, Δ = r_a − r_b itself", [_plain(model.pearson_of_difference) for model in models])


def correlation_tests(results: Results) -> Iterator[str]:
    """Whether further models correlate with people differently from the first."""
    least = 2 / results.settings["bootstrap"]
    for other in results.further:
        paired = find(other, results.models[0].overall, "pearson")
        by_prompt = "none" if paired is None or paired.p_value is None else _p(paired.p_value, least)
        classical = other.williams_note
        if other.williams:
            classical = f"t({other.williams.degrees}) = {other.williams.t:.2f}, {_p(other.williams.p_value)}"
        yield (
            f"Pearson, {other.other} against {other.first}: paired bootstrap over prompts {by_prompt}; "
            f"Williams' test, which takes pairs as independent, {classical}"
        )


def _second_paper(model: Assessment) -> Iterator[str]:
    yield ""
    yield f"Accuracy and calibration to the labels (arXiv 2312.07401, Table 2): {model.name}"
    columns = ("accuracy", "ECE two-sided, 10 bins", "noise floor 5–95 %")
    short = ("ECE conf", "ECE soft", "ACE", "MCE", "Brier", "NLL")
    yield _row("", columns) + "".join(f"{name:>10}" for name in short)
    for entry in model.slices:
        floor = entry.noise_floor
        wide = [
            figure(entry.labels["accuracy"]),
            figure(entry.labels["ece"]),
            f"{floor.mean:.3f} [{floor.low:.3f}, {floor.high:.3f}]",
        ]
        narrow = [entry.labels["ece_confidence"], entry.people["ece_soft"]]
        narrow += [entry.labels[name] for name in ("ace", "mce", "brier", "nll")]
        yield _row(line_name(entry, people=False), wide) + "".join(f"{figure(it):>10}" for it in narrow)
    yield from extras(model)


def extras(model: Assessment) -> Iterator[str]:
    """What a table has no column for: mean of the sources, parts of Brier, tails of the differences, best of n."""
    if model.mean_source_accuracy is not None:
        yield f"mean accuracy of the sources, each counted once: {model.mean_source_accuracy:.3f}"
    parts = model.overall.brier_parts
    yield (
        f"Brier = reliability {parts.reliability:.4f} − resolution {parts.resolution:.4f} + uncertainty "
        f"{parts.uncertainty:.4f} + within bins {parts.within:+.4f}"
    )
    yield from _tails(model)
    for point in model.best_of_n[1:]:
        yield (
            f"best of {point.n} ({point.prompts} prompts): preferred {point.chosen:.3f} of the time; "
            f"any answer {point.random:.3f}, the best one {point.best:.3f}"
        )


def _tails(model: Assessment) -> Iterator[str]:
    tails = model.outliers
    if tails is not None:
        yield (
            f"r_preferred − r_other outside [{tails.low_fence:.2f}, {tails.high_fence:.2f}]: "
            f"{tails.low_count} below (mean {_plain(tails.low_mean)}), {tails.high_count} above "
            f"(mean {_plain(tails.high_mean)})"
        )


def _baselines(results: Results) -> Iterator[str]:
    if not results.baselines:
        return
    yield ""
    yield "Beside trivial predictors, fitted to these labels by cross-validation, five folds by prompt"
    columns = ("accuracy", "Pearson to p*", "L1 to p*", "ECE two-sided, 10 bins")
    yield _row("", columns)
    for entry in [*results.models, *results.baselines]:
        people, labels = entry.overall.people, entry.overall.labels
        cells = [labels["accuracy"], people["pearson"], people["l1"], labels["ece"]]
        yield _row(entry.name, [figure(cell) for cell in cells])
    for comparison in results.comparisons:
        if comparison.other in {entry.name for entry in results.baselines}:
            found = [find(comparison, results.models[0].overall, name) for name in ("accuracy", "pearson", "l1", "ece")]
            yield _row(f"{comparison.other} − the first", [difference(entry) for entry in found])


def _small(results: Results) -> Iterator[str]:
    if any(entry.small for entry in results.models[0].slices):
        yield ""
        yield "* fewer than 30 prompts: read the interval, not the figure; it is itself a little short"


def _row(name: str, cells: Sequence[str]) -> str:
    return f"  {name:<{_NAME}}" + "".join(f"  {cell:>{_CELL}}" for cell in cells)


def _plain(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _p(value: float, least: float = 0.0) -> str:
    """`p = 0.031`; below what can be told, `p < ...`."""
    floor = max(least, 0.001)
    return f"p < {floor:.3f}" if value < floor else f"p = {value:.3f}"
