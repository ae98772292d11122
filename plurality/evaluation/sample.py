"""The pairs to evaluate on: labels, what people think of them, and the slices that the tables have a line for."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.core.rows import PreferenceRow
from plurality.evaluation.votes import Annotation

Array = NDArray[np.float64]
Places = NDArray[np.intp]

ALL = "All"


@dataclass(frozen=True, slots=True)
class Sample:
    """N rows as arrays."""

    rows: Sequence[PreferenceRow]
    label: Array
    """P(a preferred) as labeled, shape [N]."""
    known: NDArray[np.bool_]
    """Where p* is known, shape [N]."""
    people: Array
    """p*, shape [N]; one half, and without meaning, where it is not known."""
    prompts: Sequence[Hashable]
    """Clusters of the bootstrap: pairs on one prompt are not independent."""
    annotations: Mapping[str, Annotation] | None = None
    id_sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """One line of a table."""

    group: str
    """`source`, `category` or `all`."""
    name: str
    places: Places
    """Indices of its rows."""


def make_sample(
    rows: Sequence[PreferenceRow],
    *,
    annotations: Mapping[str, Annotation] | None = None,
    id_sources: Sequence[str] = (),
) -> Sample:
    """Arrays of the rows.

    Args:
        annotations: by row id. Where they are given they alone say what people think, so that one table never mixes
            two kinds of p*; else it is a row's `true_preference`, or the share of its votes (arXiv 2412.03822, eq. 2).
        id_sources: sources that the models were trained on.
    """
    people = [_people(row, annotations) for row in rows]
    return Sample(
        rows=rows,
        label=np.array([row.label for row in rows]),
        known=np.array([share is not None for share in people]),
        people=np.array([0.5 if share is None else share for share in people]),
        prompts=[row.prompt_key for row in rows],
        annotations=annotations,
        id_sources=tuple(id_sources),
    )


def _people(row: PreferenceRow, annotations: Mapping[str, Annotation] | None) -> float | None:
    if annotations is not None:
        return annotations[row.id].preference if row.id in annotations else None
    if row.true_preference is not None:
        return row.true_preference
    return row.votes.fraction_a if row.votes else None


def slices(sample: Sample) -> list[Slice]:
    """Lines in the order of the paper's tables: sources in and out of domain, all, then categories; none is empty."""
    domain = np.array([row.source in sample.id_sources for row in sample.rows])
    found = [*_sources(sample, domain), Slice("all", ALL, np.arange(len(sample.rows)))]
    for name, chosen in _categories(sample).items():
        found.append(_slice("category", name, chosen))
        if sample.id_sources:
            found += [_slice("category", f"{name}, ID", chosen & domain)]
            found += [_slice("category", f"{name}, OOD", chosen & ~domain)]
    return [entry for entry in found if len(entry.places)]


def _sources(sample: Sample, domain: NDArray[np.bool_]) -> list[Slice]:
    source = np.array([row.source for row in sample.rows])
    found: list[Slice] = []
    for title, side in (("All ID", domain), ("All OOD", ~domain)):
        found += [_slice("source", str(name), source == name) for name in np.unique(source[side])]
        if sample.id_sources:
            found.append(_slice("source", title, side))
    return found


def _categories(sample: Sample) -> dict[str, NDArray[np.bool_]]:
    """The paper's categories where the rows are annotated, else those that the rows carry."""
    if sample.annotations is None:
        carried = np.array([row.category or "" for row in sample.rows])
        return {str(name): carried == name for name in np.unique(carried) if name}
    given = [sample.annotations.get(row.id) for row in sample.rows]
    single = [entry.single_correct if entry else None for entry in given]
    clear = [entry.distinguishable if entry else None for entry in given]
    return {
        "Multiple Correct": np.array([it is False for it in single]),
        "Single Correct": np.array([it is True for it in single]),
        "Distinguishable": np.array([it is True for it in clear]),
        "Indistinguishable": np.array([it is False for it in clear]),
    }


def _slice(group: str, name: str, chosen: NDArray[np.bool_]) -> Slice:
    return Slice(group, name, np.flatnonzero(chosen))
