"""The fidelity gates, at their edges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_export.errors import FidelityError
from model_export.verify import ACCURACY_LOSS, FP32_TOLERANCE, SIGNIFICANCE, Measured, check_fidelity, mcnemar
from service.bundle.calibrate import sigmoid
from service.bundle.manifest import Precision

REFERENCE = np.linspace(-2, 2, 100)
LABELS = np.ones(20) * np.array([0, 1] * 10)
LOSSY: tuple[Precision, ...] = ("fp16", "int8")


def measured(exported: np.ndarray, labels: np.ndarray = LABELS) -> Measured:
    return Measured(REFERENCE, exported, labels)


def near_ties(lost: int, gained: int, kept: int) -> Measured:
    """Pairs far from each other that differ little within: a change of sides leaves the ranks of texts as they are."""
    pairs = lost + gained + kept
    levels = np.repeat(np.linspace(-5, 5, pairs), 2)
    before, after = np.empty(pairs), np.empty(pairs)
    before[:lost], after[:lost] = 1, -1
    before[lost : lost + gained], after[lost : lost + gained] = -1, 1
    before[lost + gained :] = after[lost + gained :] = 1
    half = 1e-6 * np.tile([1.0, -1.0], pairs)
    return Measured(levels + half * np.repeat(before, 2), levels + half * np.repeat(after, 2), np.ones(pairs))


def test_fp32_at_the_edge() -> None:
    """Just inside the tolerance passes and is reported, just outside is refused with the figure."""
    inside = check_fidelity(measured(REFERENCE + 0.9 * FP32_TOLERANCE), "fp32")
    assert inside.max_abs_difference == pytest.approx(0.9 * FP32_TOLERANCE, rel=1e-3)
    assert inside.accuracy_change == 0.0
    with pytest.raises(FidelityError, match="differs from torch by"):
        check_fidelity(measured(REFERENCE + 2.1 * FP32_TOLERANCE), "fp32")


def test_the_order_of_texts() -> None:
    """A shift is no loss of order; shuffled ranks are refused, and in fp16 a shuffle that int8 may have is."""
    noisy = REFERENCE + np.random.default_rng(0).normal(0, 0.5, 100)
    slightly = REFERENCE + np.random.default_rng(0).normal(0, 0.05, 100)
    for precision in LOSSY:
        assert check_fidelity(measured(REFERENCE + 0.3), precision).spearman == pytest.approx(1.0)
        with pytest.raises(FidelityError, match="ranks too differently"):
            check_fidelity(measured(noisy, np.array([])), precision)
    assert check_fidelity(measured(slightly, np.array([])), "int8").accuracy_change is None
    with pytest.raises(FidelityError, match=r"at least 0\.9995"):
        check_fidelity(measured(slightly, np.array([])), "fp16")


@pytest.mark.parametrize(
    ("lost", "gained", "refused"), [(1, 0, False), (4, 0, False), (5, 0, True), (8, 3, False), (12, 3, True)]
)
def test_accuracy_on_few_pairs(lost: int, gained: int, *, refused: bool) -> None:
    """Of 300 pairs one flipped near-tie says nothing; five that are only lost do."""
    pairs = near_ties(lost, gained, 300 - lost - gained)
    for precision in LOSSY:
        if refused:
            with pytest.raises(FidelityError, match=f"{lost} of 300 pairs lost and {gained} gained"):
                check_fidelity(pairs, precision)
        else:
            change = check_fidelity(pairs, precision).accuracy_change
            assert change == pytest.approx((gained - lost) / 300)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(300, 4000))
def test_the_accuracy_gate_refuses_real_losses_only(lost: int, gained: int, kept: int) -> None:
    """Refused if and only if more than half a point is gone and chance does not explain it."""
    share = (lost - gained) / (lost + gained + kept)
    refused = share > ACCURACY_LOSS and mcnemar(lost, gained) < SIGNIFICANCE
    if refused:
        with pytest.raises(FidelityError, match="loses accuracy"):
            check_fidelity(near_ties(lost, gained, kept), "int8")
    else:
        assert check_fidelity(near_ties(lost, gained, kept), "int8").accuracy_change == pytest.approx(-share)


@given(st.integers(1, 400), st.floats(0.0, 0.3), st.integers(0, 2**32 - 1))
def test_a_harmless_version_is_seldom_refused(pairs: int, flips: float, seed: int) -> None:
    """Where each changed pair is lost or gained alike, at most one export in twenty is refused (4 standard errors)."""
    rng = np.random.default_rng(seed)
    refused = []
    for changed in rng.binomial(pairs, flips, size=400):
        lost = int(rng.binomial(changed, 0.5))
        net = 2 * lost - int(changed)
        refused.append(net > ACCURACY_LOSS * pairs and mcnemar(lost, int(changed) - lost) < SIGNIFICANCE)
    assert np.mean(refused) <= SIGNIFICANCE + 4 * np.sqrt(SIGNIFICANCE * (1 - SIGNIFICANCE) / 400)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_mcnemar_is_the_exact_binomial(lost: int, gained: int) -> None:
    """As counted in whole numbers, however many pairs differ; 1 where nothing was lost."""
    ways = sum(math.comb(lost + gained, count) for count in range(gained + 1))
    assert mcnemar(lost, gained) == pytest.approx(ways / 2 ** (lost + gained), rel=1e-9, abs=1e-300)


def test_the_change_of_probability() -> None:
    """Of the labeled pairs where there are any, of consecutive texts otherwise; it tells a shift from a stretch."""
    exported = REFERENCE.copy()
    exported[0] += 0.02
    exported[98] += 0.5
    step = REFERENCE[1] - REFERENCE[0]
    labeled = check_fidelity(measured(exported), "int8").max_probability_change
    assert labeled == pytest.approx(sigmoid(0.02 - step) - sigmoid(-step))
    every = check_fidelity(measured(exported, np.array([])), "int8").max_probability_change
    assert every == pytest.approx(sigmoid(0.5 - step) - sigmoid(-step))
    assert check_fidelity(measured(REFERENCE + 7), "int8").max_probability_change == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_nothing_that_is_not_a_number(broken: float) -> None:
    """NaN and infinity are refused in any precision."""
    exported = REFERENCE.copy()
    exported[3] = broken
    for precision in ("fp32", *LOSSY):
        with pytest.raises(FidelityError, match="1 texts"):
            check_fidelity(measured(exported), precision)


def test_a_constant_model() -> None:
    """A model that answers always the same is broken, however faithful its file."""
    with pytest.raises(FidelityError, match="same reward"):
        check_fidelity(Measured(np.zeros(9), np.zeros(9), np.array([])), "fp32")
