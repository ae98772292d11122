"""What each objective converges to on a population of known taste: which are proper, and how far the others err."""

import math

import pytest
import torch

from plurality.core.rows import PreferenceRow
from plurality.training.targets import ObjectiveSpec, targets_for
from service.bundle.calibrate import sigmoid
from tests.plurality.training.data import row
from tests.plurality.training.loss import mean_loss

SHARES = (0.6, 0.7, 0.8, 0.9, 0.95)
_PEOPLE = 100


def population(p: float) -> list[PreferenceRow]:
    """One row a person: p of them label a, and every row holds all their votes: the oracle's margin |2p − 1|."""
    for_a = round(_PEOPLE * p)
    votes = {"a": for_a, "b": _PEOPLE - for_a}
    return [row(label=float(person < for_a), votes=votes) for person in range(_PEOPLE)]


def optimum(rows: list[PreferenceRow], spec: ObjectiveSpec) -> float:
    """The gap that minimizes the population's loss, found by L-BFGS on the loss itself."""
    targets = [target for target in targets_for(spec, rows, source="population") if target.keep]
    columns = [[t.target for t in targets], [t.margin for t in targets], [t.weight for t in targets]]
    fixed = [torch.tensor(column, dtype=torch.float64) for column in columns]
    gap = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [gap], lr=1.0, max_iter=500, tolerance_grad=1e-14, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        search.zero_grad()
        value = mean_loss(gap.expand(len(targets)), *fixed)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(closure)  # type: ignore[no-untyped-call]
    return float(gap.detach())


def margin_optimum(p: float, m: float, *, both: bool) -> float:
    """Δ* where label a has margin m, and label b the same (`both`) or none.

    e^Δ* = [(2p−1) + √((2p−1)² + 4p(1−p)e^{−km})] / (2(1−p)e^{−m}) with k = 2 if both, else 1.
    """
    spread = (2 * p - 1) + math.sqrt((2 * p - 1) ** 2 + 4 * p * (1 - p) * math.exp(-(2 if both else 1) * m))
    return math.log(spread / (2 * (1 - p) * math.exp(-m)))


def constant(rows: list[PreferenceRow], margin: float) -> list[PreferenceRow]:
    return [entry.model_copy(update={"margin": margin}) for entry in rows]


@pytest.mark.parametrize("p", [*SHARES, 0.5, 0.2])
@pytest.mark.parametrize(
    "spec",
    [ObjectiveSpec(), ObjectiveSpec("soft"), ObjectiveSpec("mix", mix_alpha=0.3), ObjectiveSpec("scaled-bt")],
    ids=lambda spec: spec.objective,
)
def test_proper(spec: ObjectiveSpec, p: float) -> None:
    """Without a margin in the sigmoid the optimum is σ(Δ) = p itself."""
    if spec.objective == "scaled-bt" and p == 0.5:
        return  # every weight is 0: any gap is a minimum
    assert sigmoid(optimum(population(p), spec)) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(("p", "q"), list(zip(SHARES, (0.611, 0.738, 0.860, 0.948, 0.978), strict=True)), ids=str)
def test_margin_is_overconfident(p: float, q: float) -> None:
    """The paper's margin is not proper: with the true m = |2p − 1| its optimum lies outside p, by known amounts."""
    found = optimum(population(p), ObjectiveSpec("margin"))
    assert sigmoid(found) == pytest.approx(q, abs=6e-4)
    assert found == pytest.approx(margin_optimum(p, 2 * p - 1, both=True), abs=1e-6)
    assert optimum(population(1 - p), ObjectiveSpec("margin")) == pytest.approx(-found, abs=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.6, 0.675), (0.8, 0.896)])
def test_constant_margin(p: float, q: float) -> None:
    """With m = 1 everywhere the optimum is further out still."""
    found = optimum(constant(population(p), 1.0), ObjectiveSpec("margin"))
    assert sigmoid(found) == pytest.approx(q, abs=6e-4)
    assert found == pytest.approx(margin_optimum(p, 1.0, both=True), abs=1e-6)


@pytest.mark.parametrize("p", SHARES)
def test_other_policies_err_more(p: float) -> None:
    """On a population's own labels clamp and signed err more than the paper's margin; drop sees one answer alone."""
    rows, m = population(p), 2 * p - 1
    clamp, signed = (optimum(rows, ObjectiveSpec("margin", policy)) for policy in ("clamp", "signed"))
    assert clamp == pytest.approx(margin_optimum(p, m, both=False), abs=1e-6)
    assert signed == pytest.approx(math.log(p / (1 - p)) + m, abs=1e-6)
    assert math.log(p / (1 - p)) < optimum(rows, ObjectiveSpec("margin")) < clamp < signed
    kept = [t for t in targets_for(ObjectiveSpec("margin", "drop"), rows, source="population") if t.keep]
    assert {target.target for target in kept} == {1.0}


def test_mix_between() -> None:
    """Mix with α = 0 is the label, with α = 1 the votes, and lies between on the line."""
    rows = [row(label=1.0, votes={"a": 3, "b": 1})]
    specs = [ObjectiveSpec("mix", mix_alpha=alpha) for alpha in (0.0, 0.5, 1.0)]
    mixed = [targets_for(spec, rows, source="x")[0].target for spec in specs]
    assert mixed == [1.0, 0.875, 0.75]
    assert targets_for(ObjectiveSpec("soft"), rows, source="x")[0].target == 0.75
