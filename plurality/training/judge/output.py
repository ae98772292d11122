"""Judgements into rows: people's votes stay as they are."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from plurality.core.judge_record import JudgeRecord
from plurality.core.rows import PreferenceRow
from plurality.training.judge.report import Report
from plurality.training.judge.run import Outcome, Spent
from plurality.training.judge.settings import JudgeSettings
from service.bundle.files import replacing


def judged_row(row: PreferenceRow, outcome: Outcome, *, replace_margin: bool) -> PreferenceRow:
    """The row with its judgement, and with the judgement's margin where the row has none that is not a judge's.

    A pair that the judge could not decide keeps no margin of the judge, nor one of an earlier run.

    Args:
        replace_margin: also where votes or a margin of the row's own are there.
    """
    record = outcome if isinstance(outcome, JudgeRecord) else None
    earlier = row.judge is not None and row.margin is not None and row.margin == row.judge.margin
    own = None if earlier else row.margin
    margin = own
    if record is not None and record.margin is not None:
        untouched = own is not None or row.votes is not None
        margin = own if untouched and not replace_margin else record.margin
    return row.model_copy(update={"judge": record, "margin": margin})


def judged_rows(
    rows: Sequence[PreferenceRow], outcomes: Sequence[Outcome], *, replace_margin: bool
) -> list[PreferenceRow]:
    """In the order of the rows."""
    pairs = zip(rows, outcomes, strict=True)
    return [judged_row(row, outcome, replace_margin=replace_margin) for row, outcome in pairs]


def write_rows(path: Path, rows: Sequence[PreferenceRow]) -> None:
    """One row a line; the file appears only when it is whole."""
    with replacing(path) as file:
        for row in rows:
            file.write(msgspec.json.encode(row.model_dump(mode="json", exclude_none=True)) + b"\n")


def write_report(path: Path, report: Report, settings: JudgeSettings, spent: Spent) -> None:
    """The report, with the settings that the rows name by their digest."""
    head = {
        "settings": settings.resolved(),
        "settings_sha256": settings.digest,
        "served_models": sorted(spent.served),
    }
    path.write_text(json.dumps(head | report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
