"""Rows to the targets of each objective, and the names that manifests give them."""

import re
from itertools import product
from typing import Any, get_args

import pytest

from plurality.core.rows import PreferenceRow
from plurality.training.errors import BadRow, DataError
from plurality.training.margins import MarginPolicy
from plurality.training.objectives import Objective
from plurality.training.targets import ObjectiveSpec, Target, targets_for
from service.bundle.manifest import Manifest
from tests.plurality.training.data import row

AGREED, REJECTED = {"a": 9, "b": 1}, {"a": 1, "b": 9}


def only(spec: ObjectiveSpec, **changes: Any) -> Target:
    (target,) = targets_for(spec, [row(**changes)], source="x")
    return target


def judge(q: float) -> dict[str, Any]:
    return {
        "q": q, "mode": "sample", "n": 10, "parsed": 10, "unparsable": 0, "orders": [], "model": "m", "settings": "s",
    }  # fmt: skip


def test_baseline_reads_labels_only() -> None:
    """The baseline ignores votes, margins and judges."""
    rows = [row(votes=REJECTED, margin=0.5), row(label=0.0), row(label=0.25, judge=judge(0.9))]
    assert targets_for(ObjectiveSpec(), rows, source="x") == [Target(1.0), Target(0.0), Target(0.25)]


@pytest.mark.parametrize(
    ("policy", "agreed", "rejected"),
    [("paper", 0.8, 0.8), ("clamp", 0.8, 0.0), ("signed", 0.8, -0.8)],
)
def test_margin_policies(policy: MarginPolicy, agreed: float, rejected: float) -> None:
    """Where nine of ten reject the label: the paper's full margin, none, or a negative one; for label b likewise."""
    for label, votes, expected in (
        (1.0, AGREED, agreed), (1.0, REJECTED, rejected), (0.0, REJECTED, agreed), (0.0, AGREED, rejected),
    ):  # fmt: skip
        target = only(ObjectiveSpec("margin", policy), label=label, votes=votes)
        assert (target.target, target.weight, target.keep) == (label, 1.0, True)
        assert target.margin == pytest.approx(expected)


@pytest.mark.parametrize("objective", ["margin", "scaled-bt"])
def test_drop(objective: Objective) -> None:
    """Drop leaves out the contradicted and keeps all else as it is, even votes included."""
    spec = ObjectiveSpec(objective, "drop")
    assert only(spec, votes=REJECTED) == Target(1.0, weight=0.0, keep=False)
    assert only(spec, votes=AGREED) == only(ObjectiveSpec(objective), votes=AGREED)
    assert only(spec, votes={"a": 5, "b": 5}).keep


@pytest.mark.parametrize("policy", ["clamp", "signed", "drop"])
def test_tie_has_no_side(policy: MarginPolicy) -> None:
    """A tie as label agrees with nobody: no margin, and nothing dropped; only the paper's keeps its size."""
    assert only(ObjectiveSpec("margin", policy), label=0.5, votes=AGREED) == Target(0.5, margin=0.0)
    assert only(ObjectiveSpec("margin"), label=0.5, votes=AGREED).margin == pytest.approx(0.8)


def test_own_margin_with_direction() -> None:
    """A row's own margin is the size, its votes say the direction."""
    assert only(ObjectiveSpec("margin", "signed"), margin=0.3, votes=REJECTED).margin == -0.3
    assert only(ObjectiveSpec("margin", "clamp"), margin=0.3, votes=AGREED).margin == 0.3


def test_direction_of_a_language_model() -> None:
    """A margin that `plurality judge` wrote has the direction of its q, whatever people voted; else people's counts."""
    signed = ObjectiveSpec("margin", "signed")
    judged = judge(0.2)
    written = abs(2 * 0.2 - 1)
    assert only(signed, margin=written, judge=judged).margin == pytest.approx(-0.6)
    assert only(signed, margin=written, judge=judged, votes=AGREED).margin == pytest.approx(-0.6)
    assert only(signed, judge=judged).margin == pytest.approx(-0.6)
    assert only(signed, judge=judged, votes=AGREED).margin == pytest.approx(0.8)
    assert only(ObjectiveSpec("soft"), judge=judged).target == pytest.approx(0.2)
    assert only(ObjectiveSpec("soft"), judge=judged, votes=AGREED).target == pytest.approx(0.9)


def test_margin_without_direction_refused() -> None:
    """A margin alone cannot say whether judges agree: every policy but the paper's names the row."""
    rows = [row(votes=AGREED), row(margin=0.5)]
    assert [t.margin for t in targets_for(ObjectiveSpec("margin"), rows, source="x")] == pytest.approx([0.8, 0.5])
    with pytest.raises(DataError, match="no votes: a margin alone has no direction, which clamp needs") as caught:
        targets_for(ObjectiveSpec("margin", "clamp"), rows, source="x")
    assert [bad.line for bad in caught.value.rows] == [2]


@pytest.mark.parametrize("objective", ["soft", "mix"])
def test_soft_needs_shares(objective: Objective) -> None:
    """One person's choice is no share of votes: such rows are named; a label that is a fraction is a share."""
    rows = [row(), row(label=0.7), row(votes=AGREED), row(label=0.0, margin=1.0), row(label=0.5)]
    with pytest.raises(DataError, match=f"the {objective} objective needs shares of votes") as caught:
        targets_for(ObjectiveSpec(objective), rows, source="x")
    assert caught.value.rows == tuple(BadRow(i, "no votes, and its label is a single choice") for i in (1, 4))
    assert [t.target for t in targets_for(ObjectiveSpec(objective), [rows[1], rows[4]], source="x")] == [0.7, 0.5]


def test_scaled_bt() -> None:
    """The margin is a weight, and no margin in the sigmoid."""
    target = only(ObjectiveSpec("scaled-bt"), label=0.0, votes=REJECTED)
    assert (target.target, target.margin) == (0.0, 0.0)
    assert target.weight == pytest.approx(0.8)
    assert only(ObjectiveSpec("scaled-bt", "clamp"), votes=REJECTED).weight == 0.0
    with pytest.raises(DataError, match="the scaled-bt objective needs judgements"):
        targets_for(ObjectiveSpec("scaled-bt"), [row()], source="x")


def test_names() -> None:
    """Old names stay; every combination has a name of its own that a manifest takes."""
    assert [ObjectiveSpec(name).name() for name in ("baseline", "margin", "soft")] == ["baseline", "margin", "soft"]
    assert ObjectiveSpec("margin", "clamp").name() == "margin-clamp"
    assert ObjectiveSpec().name(more=True) == "more+bt"
    assert ObjectiveSpec("margin", "signed").name(more=True, centering=True) == "more+margin-signed+centered"
    assert ObjectiveSpec().name(centering=True) == "bt+centered"
    pattern = next(m.pattern for m in Manifest.model_fields["objective"].metadata if getattr(m, "pattern", None))
    every = [
        ObjectiveSpec(objective, policy).name(more=more, centering=centering)
        for objective, policy, more, centering in product(
            get_args(Objective), get_args(MarginPolicy), (False, True), (False, True)
        )
    ]
    assert all(re.fullmatch(pattern, name) for name in every)
    assert len(set(every)) == len(every)


def test_rows_untouched() -> None:
    """Targets are made beside the rows."""
    rows = [row(votes=REJECTED)]
    before = [PreferenceRow.model_validate(entry.model_dump()) for entry in rows]
    targets_for(ObjectiveSpec("margin", "drop"), rows, source="x")
    assert rows == before
