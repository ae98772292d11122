"""The loss family against the papers' equations."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from plurality.training.objectives import (
    PairTargets,
    batch_losses,
    loss_slopes,
    pair_losses,
    reward_diffs,
    reward_sums,
)
from service.bundle.calibrate import sigmoid
from tests.plurality.training.loss import mean_loss

exact = hypothesis_settings(max_examples=200)
gaps = st.floats(-30, 30)
unit = st.floats(0, 1)


def loss(gap: float, label: float, margin: float) -> float:
    return float(mean_loss(*(torch.tensor([value], dtype=torch.float64) for value in (gap, label, margin))))


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
@given(gaps, unit, st.floats(-1, 1), st.floats(0, 4))
def test_gradient(gap: float, target: float, margin: float, weight: float) -> None:
    """Autograd gives dL/dΔ = w[(1 − q̃)σ(Δ + m) − q̃σ(m − Δ)], and so does the closed form."""
    variable = torch.tensor([gap], dtype=torch.float64, requires_grad=True)
    fixed = [torch.tensor([value], dtype=torch.float64) for value in (target, margin, weight)]
    (gradient,) = torch.autograd.grad(mean_loss(variable, *fixed), variable)
    expected = weight * ((1 - target) * sigmoid(gap + margin) - target * sigmoid(margin - gap))
    assert float(gradient) == pytest.approx(expected, abs=1e-12)
    assert float(loss_slopes(variable.detach(), *fixed)) == pytest.approx(expected, abs=1e-12)


@exact
@given(gaps, gaps, unit, st.floats(0, 1))
def test_centering(first: float, second: float, target: float, centering: float) -> None:
    """Centering adds c(r_a + r_b)² to each pair's loss, and 2c(r_a + r_b) to the slope of both rewards."""
    reward = torch.tensor([first, second], dtype=torch.float64, requires_grad=True)
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    targets = PairTargets(one, target * one, zero, one, zero)
    plain, whole = (batch_losses(reward, targets, centering=c).sum() for c in (0.0, centering))
    assert float((whole - plain).detach()) == pytest.approx(centering * (first + second) ** 2, abs=1e-9)
    (gradient,) = torch.autograd.grad(whole, reward)
    slope = float(loss_slopes(reward_diffs(reward.detach()), target * one, zero))
    pull = 2 * centering * float(reward_sums(reward.detach()))
    assert gradient.tolist() == pytest.approx([slope + pull, -slope + pull], abs=1e-9)


@exact
@given(gaps, unit, unit, st.floats(0, 4))
def test_weight(gap: float, target: float, margin: float, weight: float) -> None:
    """A weight multiplies a pair's loss, and a pair of weight 0 still counts in the mean."""
    gaps_B, target_B, margin_B = (torch.tensor([value] * 2, dtype=torch.float64) for value in (gap, target, margin))
    weights = torch.tensor([weight, 0.0], dtype=torch.float64)
    expected = weight * loss(gap, target, margin)
    assert pair_losses(gaps_B, target_B, margin_B, weights).tolist() == pytest.approx([expected, 0.0], abs=1e-9)
    assert float(mean_loss(gaps_B, target_B, margin_B, weights)) == pytest.approx(expected / 2, abs=1e-9)


@exact
@given(gaps, unit, unit)
def test_order_of_pair(gap: float, label: float, margin: float) -> None:
    """Swapping a and b, and the label with them, leaves the loss as it was."""
    assert loss(gap, label, margin) == pytest.approx(loss(-gap, 1 - label, margin), abs=1e-12)


@exact
@given(st.lists(st.tuples(gaps, unit, unit), min_size=1, max_size=8))
def test_mean_of_pairs(pairs: list[tuple[float, float, float]]) -> None:
    """A batch's loss is the mean of its pairs' losses: no pair meets another's margin."""
    together = mean_loss(*(torch.tensor(column, dtype=torch.float64) for column in zip(*pairs, strict=True)))
    assert float(together) == pytest.approx(sum(loss(*pair) for pair in pairs) / len(pairs), abs=1e-12)


@pytest.mark.parametrize("gap", [-1e4, 1e4])
def test_finite_far_out(gap: float) -> None:
    """Far out the loss is linear, not infinite, and its gradient is a number, in float32 too."""
    variable = torch.tensor([gap], requires_grad=True)
    value = mean_loss(variable, torch.tensor([0.5]), torch.tensor([1.0]))
    value.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(value.item())
    assert variable.grad is not None
    assert math.isfinite(float(variable.grad))


@pytest.mark.parametrize("wrong", range(4))
@pytest.mark.parametrize("shape", [(4, 1), (1,), (), (1, 4)])
def test_shapes_refused(wrong: int, shape: tuple[int, ...]) -> None:
    """What would broadcast, such as [B, 1] against [B], is refused instead."""
    tensors = [torch.zeros(4)] * 4
    tensors[wrong] = torch.zeros(shape)
    with pytest.raises(ValueError, match="shapes differ"):
        mean_loss(*tensors)


def test_columns_refused() -> None:
    """[B, 1] three times is refused too: all pairs are one dimension."""
    with pytest.raises(ValueError, match="shapes differ"):
        mean_loss(*[torch.zeros(4, 1)] * 3)


def test_rewards_to_gap() -> None:
    """All a's, then all b's: pair i is rows i and B + i."""
    assert reward_diffs(torch.tensor([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])).tolist() == [-9.0, -18.0, -27.0]
