"""Gates: what passes, what does not, and that each says why."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plurality.sidecar.config import GateConfig
from plurality.sidecar.gates import Evidence, Gate, evaluate, figures

GATES = GateConfig()


def evidence(count: int = 400, *, lost: int = 0, gained: int = 0, source: str = "votes") -> Evidence:
    """Calibrated predictions of 0.9 and 0.1; the candidate errs where the current one is right on `lost` pairs."""
    rng = np.random.default_rng(0)
    label = (rng.random(count) < 0.5).astype(float)
    wrong = np.arange(count) < count // 10
    current = np.where(wrong, 1 - label, label) * 0.8 + 0.1
    candidate = current.copy()
    candidate[count // 10 : count // 10 + lost] = 1 - candidate[count // 10 : count // 10 + lost]
    candidate[:gained] = 1 - candidate[:gained]
    return Evidence(label, current, candidate, [source] * count)


def named(gates: list[Gate]) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates}


def test_an_equal_version_passes() -> None:
    assert all(gate.passed for gate in evaluate(evidence(), GATES))


def test_a_real_loss_of_accuracy_refuses_and_is_named() -> None:
    gate = named(evaluate(evidence(lost=12), GATES))["accuracy"]
    assert not gate.passed
    assert "0.9000 -> 0.8700 on 400 pairs (0 gained, 12 lost): no chance" in gate.reason


def test_a_loss_that_may_be_chance_passes_and_says_so() -> None:
    gate = named(evaluate(evidence(lost=4, gained=1), GATES))["accuracy"]
    assert gate.passed
    assert "may be chance" in gate.reason


def test_one_source_that_got_worse_refuses_though_all_together_gained() -> None:
    good, bad = evidence(gained=40), evidence(lost=12, source="other")
    both = Evidence(
        np.concatenate([good.label, bad.label]),
        np.concatenate([good.current, bad.current]),
        np.concatenate([good.candidate, bad.candidate]),
        [*good.source, *bad.source],
    )
    gates = named(evaluate(both, GATES))
    assert gates["accuracy"].passed
    assert gates["accuracy/votes"].passed
    assert not gates["accuracy/other"].passed


def test_a_version_that_says_the_same_of_everything_is_dead() -> None:
    base = evidence()
    flat = Evidence(base.label, base.current, np.full(400, 0.5), base.source)
    assert not named(evaluate(flat, GATES))["varied"].passed


def test_overconfidence_refuses() -> None:
    base = evidence()
    sure = np.where(base.candidate > 0.5, 0.9999, 0.0001)
    worse = Evidence(base.label, base.current, sure, base.source)
    gate = named(evaluate(worse, GateConfig(max_ece=0.02)))["ece"]
    assert not gate.passed
    assert "noise floor" in gate.reason


@given(count=st.integers(1, 49))
def test_too_few_pairs_decide_nothing(count: int) -> None:
    gates = evaluate(evidence(count), GATES)
    assert [gate.name for gate in gates] == ["pairs"]
    assert not gates[0].passed


def test_figures_of_both_versions() -> None:
    found = figures(evidence(lost=20))
    assert found["current"]["accuracy"] == pytest.approx(0.9)
    assert found["candidate"]["accuracy"] == pytest.approx(0.85)
    assert set(found["current"]) == {"accuracy", "ece", "brier", "nll"}
