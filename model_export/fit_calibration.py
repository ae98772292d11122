"""Fit the temperature of P = σ((r_a − r_b)/T) on held-out pairs, by minimum cross-entropy. Numpy and scipy only.

No intercept: P(a,b) + P(b,a) = 1 whatever the data. Soft labels are used as they are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from metrics.calibration import brier, ece, ece_noise_floor, nll
from model_export.errors import ExportError
from model_export.pairs import LabelledPair, pairs_digest
from service.repository.manifest import Calibration, CalibrationQuality

BINS = 10
MIN_PAIRS = 30
_LOG_T_RANGE = (-4.0, 6.0)
"""Of T relative to the differences' root mean square: what can be found does not depend on the rewards' unit."""
_LEAST, _MOST = 1e-3, 1e6
"""What a manifest can say."""

Array = NDArray[np.float64]


def fit_temperature(difference: Array, label: Array) -> float:
    """T > 0 that minimises the cross-entropy of σ(difference / T) to the labels.

    Args:
        difference: r_a − r_b, shape [N].
        label: P(a preferred), shape [N], in [0, 1].

    Raises:
        ExportError: too few pairs, or rewards that carry no information on the labels.
    """
    if len(difference) < MIN_PAIRS:
        raise ExportError(f"{len(difference)} labelled pairs cannot fix a temperature; at least {MIN_PAIRS} are needed")
    scale = float(np.sqrt(np.mean(difference**2)))
    if scale == 0:
        raise ExportError("the model rewards both responses of every pair alike; it cannot be calibrated on them")
    relative = difference / scale
    found = minimize_scalar(
        lambda log_t: _cross_entropy(relative / np.exp(log_t), label), bounds=_LOG_T_RANGE, method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    if found.x > _LOG_T_RANGE[1] - 1e-3:
        raise ExportError(
            "the rewards do not agree with the labels at all (the best temperature is infinite); check that label 1 "
            "means response_a is preferred"
        )
    temperature = scale * float(np.exp(found.x))
    if not _LEAST < temperature < _MOST:
        raise ExportError(
            f"the best temperature, {temperature:.2g}, is not between {_LEAST:g} and {_MOST:g}: the rewards are all "
            "but equal or enormous, or there are too few pairs that the model ranks wrongly"
        )
    return temperature


def _cross_entropy(logit: Array, label: Array) -> float:
    return float(np.mean(np.logaddexp(0.0, logit) - label * logit))


def calibrate(rewards: Array, pairs: Sequence[LabelledPair]) -> Calibration:
    """Fit, and say what it did to the held-out probabilities.

    Args:
        rewards: of a, b, a, b, ..., shape [2N].
        pairs: the N pairs.
    """
    difference = rewards[::2] - rewards[1::2]
    label = np.array([pair.label for pair in pairs])
    temperature = fit_temperature(difference, label)
    after = probability(difference, temperature)
    return Calibration(
        temperature=temperature,
        pairs=len(pairs),
        data_sha256=pairs_digest(pairs),
        before=quality(probability(difference, 1.0), label),
        after=quality(after, label),
        ece_noise_floor=ece_noise_floor(after, bins=BINS).mean,
    )


def probability(difference: Array, temperature: float) -> Array:
    """σ(difference / T), stable for any finite difference."""
    result: Array = np.exp(-np.logaddexp(0.0, -difference / temperature))
    return result


def quality(probabilities: Array, label: Array) -> CalibrationQuality:
    """ECE, Brier and NLL."""
    return CalibrationQuality(
        ece=ece(probabilities, label, bins=BINS), brier=brier(probabilities, label), nll=nll(probabilities, label)
    )
