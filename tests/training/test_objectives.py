"""The loss family against the papers' equations."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.calibrate import sigmoid
from tests.training.data import row
from training.errors import DataError
from training.objectives import margins_for, pairwise_loss, rewards_to_gap

exact = hypothesis_settings(derandomize=True, max_examples=200, deadline=None)
gaps = st.floats(-30, 30)
unit = st.floats(0, 1)


def loss(gap: float, label: float, margin: float) -> float:
    return float(pairwise_loss(*(torch.tensor([value], dtype=torch.float64) for value in (gap, label, margin))))


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


@exact
@given(gaps)
def test_equation_1(gap: float) -> None:
    """With m = 0 the loss is −log σ(r_chosen − r_rejected), whichever of the two was chosen."""
    assert loss(gap, 1.0, 0.0) == pytest.approx(-log_sigmoid(gap), abs=1e-12)
    assert loss(gap, 0.0, 0.0) == pytest.approx(-log_sigmoid(-gap), abs=1e-12)


@exact
@given(gaps, unit)
def test_equation_4(gap: float, margin: float) -> None:
    """With a margin it is −log σ(Δ − m) for label 1, and −log σ(−Δ − m) for label 0."""
    assert loss(gap, 1.0, margin) == pytest.approx(-log_sigmoid(gap - margin), abs=1e-12)
    assert loss(gap, 0.0, margin) == pytest.approx(-log_sigmoid(-gap - margin), abs=1e-12)


@exact
@given(gaps, unit, unit)
def test_gradient(gap: float, label: float, margin: float) -> None:
    """Autograd gives dL/dΔ = (1 − q)σ(Δ + m) − qσ(m − Δ)."""
    variable = torch.tensor([gap], dtype=torch.float64, requires_grad=True)
    fixed = [torch.tensor([value], dtype=torch.float64) for value in (label, margin)]
    (gradient,) = torch.autograd.grad(pairwise_loss(variable, *fixed), variable)
    expected = (1 - label) * sigmoid(gap + margin) - label * sigmoid(margin - gap)
    assert float(gradient) == pytest.approx(expected, abs=1e-12)


@exact
@given(gaps, unit, unit)
def test_order_of_pair(gap: float, label: float, margin: float) -> None:
    """Swapping a and b, and the label with them, leaves the loss as it was."""
    assert loss(gap, label, margin) == pytest.approx(loss(-gap, 1 - label, margin), abs=1e-12)


@exact
@given(st.lists(st.tuples(gaps, unit, unit), min_size=1, max_size=8))
def test_mean_of_pairs(pairs: list[tuple[float, float, float]]) -> None:
    """A batch's loss is the mean of its pairs' losses: no pair meets another's margin."""
    together = pairwise_loss(*(torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True)))
    assert float(together) == pytest.approx(sum(loss(*pair) for pair in pairs) / len(pairs), abs=1e-12)


@pytest.mark.parametrize("gap", [-1e4, 1e4])
def test_finite_far_out(gap: float) -> None:
    """Far out the loss is linear, not infinite, and its gradient is a number, in float32 too."""
    variable = torch.tensor([gap], requires_grad=True)
    value = pairwise_loss(variable, torch.tensor([0.5]), torch.tensor([1.0]))
    value.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(value.item())
    assert variable.grad is not None
    assert math.isfinite(float(variable.grad))


@pytest.mark.parametrize("wrong", range(3))
@pytest.mark.parametrize("shape", [(4, 1), (1,), (), (1, 4)])
def test_shapes_refused(wrong: int, shape: tuple[int, ...]) -> None:
    """What would broadcast, such as [B, 1] against [B], is refused instead."""
    tensors = [torch.zeros(4)] * 3
    tensors[wrong] = torch.zeros(shape)
    with pytest.raises(ValueError, match="shapes differ"):
        pairwise_loss(*tensors)


def test_columns_refused() -> None:
    """[B, 1] three times is refused too: all pairs are one dimension."""
    with pytest.raises(ValueError, match="shapes differ"):
        pairwise_loss(*[torch.zeros(4, 1)] * 3)


def optimum(p: float, margin: float) -> float:
    """σ of the gap that minimises the expected loss over labels ~ Bernoulli(p), by L-BFGS on the loss itself."""
    gap = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([gap], lr=1.0, max_iter=200, tolerance_grad=1e-14, tolerance_change=1e-16)
    one, zero, m = (torch.tensor([value], dtype=torch.float64) for value in (1.0, 0.0, margin))

    def closure() -> torch.Tensor:
        search.zero_grad()
        value = p * pairwise_loss(gap, one, m) + (1 - p) * pairwise_loss(gap, zero, m)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(closure)  # type: ignore[no-untyped-call]
    return sigmoid(float(gap.detach()))


@pytest.mark.parametrize(("p", "q"), [(0.6, 0.611), (0.7, 0.738), (0.8, 0.860), (0.9, 0.948), (0.95, 0.978)])
def test_margin_is_overconfident(p: float, q: float) -> None:
    """The margin loss is not proper: with the true m = |2p − 1| its optimum lies outside p, by the known amounts."""
    margin = abs(2 * p - 1)
    found = optimum(p, margin)
    assert found == pytest.approx(q, abs=6e-4)
    spread = (2 * p - 1) + math.sqrt((2 * p - 1) ** 2 + 4 * p * (1 - p) * math.exp(-2 * margin))
    assert found == pytest.approx(sigmoid(math.log(spread / (2 * (1 - p) * math.exp(-margin)))), abs=1e-6)
    assert optimum(1 - p, margin) == pytest.approx(1 - found, abs=1e-6)


@pytest.mark.parametrize(("p", "q"), [(0.6, 0.675), (0.8, 0.896)])
def test_constant_margin(p: float, q: float) -> None:
    """With m = 1 everywhere the optimum is further out still."""
    assert optimum(p, 1.0) == pytest.approx(q, abs=6e-4)


@pytest.mark.parametrize("p", [0.05, 0.5, 0.6, 0.9])
def test_baseline_is_proper(p: float) -> None:
    """Without a margin the optimum is p itself."""
    assert optimum(p, 0.0) == pytest.approx(p, abs=1e-7)


def test_margins_for() -> None:
    """The baseline ignores votes and margins; the margin objective needs them."""
    rows = [row(votes={"a": 8, "b": 2}, margin=0.5), row(margin=1.0)]
    assert margins_for("baseline", [*rows, row()], source="x") == [0.0, 0.0, 0.0]
    assert margins_for("margin", rows, source="x") == [0.5, 1.0]
    with pytest.raises(DataError):
        margins_for("margin", [row()], source="x")


def test_rewards_to_gap() -> None:
    """All a's, then all b's: pair i is rows i and B + i."""
    assert rewards_to_gap(torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])).tolist() == [-9.0, -18.0, -27.0]
