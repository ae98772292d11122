"""The fidelity gates, at their edges."""

import numpy as np
import pytest

from model_export.errors import FidelityError
from model_export.verify import FP32_TOLERANCE, Measured, check_fidelity

REFERENCE = np.linspace(-2, 2, 100)
LABELS = np.ones(20) * np.array([0, 1] * 10)


def measured(exported: np.ndarray, labels: np.ndarray = LABELS) -> Measured:
    return Measured(REFERENCE, exported, labels)


def test_fp32_at_the_edge() -> None:
    """Just inside the tolerance passes and is reported, just outside is refused with the figure."""
    inside = check_fidelity(measured(REFERENCE + 0.9 * FP32_TOLERANCE), "fp32")
    assert inside.max_abs_difference == pytest.approx(0.9 * FP32_TOLERANCE, rel=1e-3)
    assert inside.accuracy_change == 0.0
    with pytest.raises(FidelityError, match="differs from torch by"):
        check_fidelity(measured(REFERENCE + 2.1 * FP32_TOLERANCE), "fp32")


def test_int8_gates() -> None:
    """A shift is no loss of order; shuffled ranks are refused; lost accuracy is refused."""
    assert check_fidelity(measured(REFERENCE + 0.3), "int8").spearman == pytest.approx(1.0)
    noisy = REFERENCE + np.random.default_rng(0).normal(0, 0.5, 100)
    with pytest.raises(FidelityError, match="ranks too differently"):
        check_fidelity(measured(noisy), "int8")
    unlabelled = check_fidelity(measured(REFERENCE * 1.01, np.array([])), "int8")
    assert unlabelled.accuracy_change is None


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_nothing_that_is_not_a_number(broken: float) -> None:
    """NaN and infinity are refused in any precision."""
    exported = REFERENCE.copy()
    exported[3] = broken
    for precision in ("fp32", "int8"):
        with pytest.raises(FidelityError, match="1 texts"):
            check_fidelity(measured(exported), precision)


def test_a_constant_model() -> None:
    """A model that answers always the same is broken, however faithful its file."""
    with pytest.raises(FidelityError, match="same reward"):
        check_fidelity(Measured(np.zeros(9), np.zeros(9), np.array([])), "fp32")
