"""Experiments with their arms, and each one's report as of now."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from service.api.experiment_records import ExperimentState
from service.errors import FeedbackUnavailable, UnknownExperiment
from service.experiments.predict import residents
from service.experiments.registry import Entry
from service.experiments.report import Report
from service.experiments.reporting import ArmReport, report_on
from service.ui import draw
from service.ui.access import Parts, form_of, refused
from service.ui.render import page

_FRESH_S = 5.0
"""A report that is no older is shown to whoever looks next: each takes the processor a while."""
FIGURES = {
    "accuracy": ("Accuracy", "more is better", "points"),
    "brier": ("Brier score", "less is better", ""),
    "nll": ("Log loss", "less is better", "nats"),
    "ece": ("ECE", "less is better", ""),
    "pearson": ("Pearson", "more is better", ""),
    "l1": ("L1", "less is better", ""),
}
"""Name, direction and unit of what a report compares."""


@dataclass(frozen=True, slots=True)
class _Seen:
    entry: Entry
    at: float
    reports: Sequence[ArmReport]


class Reports:
    """Reports for the pages, one made at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._alone = asyncio.Lock()
        self._seen: dict[str, _Seen] = {}

    async def of(self, entry: Entry) -> Sequence[ArmReport]:
        """Each arm against the control; nothing without a database. Raises FeedbackUnavailable."""
        votes, name = self._parts.experiments.votes, entry.experiment.name
        if votes is None:
            return ()
        async with self._alone:
            now = asyncio.get_running_loop().time()
            seen = self._seen.get(name)
            if seen is None or seen.entry is not entry or now - seen.at > _FRESH_S:
                versions = residents(entry.experiment, self._parts.live)
                seen = _Seen(entry, now, await asyncio.to_thread(report_on, entry, versions, votes))
                known = self._parts.experiments.registry.entries
                self._seen = {key: value for key, value in self._seen.items() if key in known} | {name: seen}
        return seen.reports


async def experiments(parts: Parts, request: Request) -> Response:
    """The list."""
    form = await form_of(request)
    if reply := refused(parts, request, form, here="experiments"):
        return reply
    states = [ExperimentState.of(entry, parts.live) for entry in parts.experiments.registry.entries.values()]
    return page(
        "experiments.html",
        here="experiments",
        states=states,
        configured=parts.experiments.registry.configured,
        keyed=parts.keys.configured("score"),
        key=form.text("key"),
    )


async def experiment(parts: Parts, reports: Reports, request: Request, name: str) -> Response:
    """One experiment; raises UnknownExperiment."""
    if reply := refused(parts, request, await form_of(request), here="experiments"):
        return reply
    entry = parts.experiments.registry.entries.get(name)
    if entry is None:
        raise UnknownExperiment("There is no experiment of this name.", param="name")
    problem: str | None = None
    found: Sequence[ArmReport] = ()
    try:
        found = await reports.of(entry)
    except FeedbackUnavailable as error:
        problem = error.message
    return page(
        "experiment.html",
        here="experiments",
        state=ExperimentState.of(entry, parts.live),
        reports=[_shown(report) for report in found],
        votes=parts.experiments.votes is not None,
        problem=problem,
        plot=draw,
    )


def _shown(found: ArmReport) -> dict[str, Any]:
    return {"arm": found.arm, "verdict": found.verdict, "report": found.report, "rows": _rows(found.report)}


def _rows(report: Report | None) -> list[Mapping[str, Any]]:
    """A row a figure: both versions', and their difference with its place on an axis."""
    if report is None:
        return []
    rows: list[Mapping[str, Any]] = []
    for key, (name, better, unit) in FIGURES.items():
        difference = getattr(report.differences, key)
        scale = 100.0 if unit == "points" else 1.0
        rows.append({
            "name": name, "better": better, "unit": unit, "scale": scale,
            "control": getattr(report.control, key), "treatment": getattr(report.treatment, key),
            "difference": difference, "span": draw.span(difference) if difference else None,
        })  # fmt: skip
    return rows
