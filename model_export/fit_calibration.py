"""Fit P(a preferred) to held-out pairs: a temperature, a power or a monotone curve, chosen by cross-validated NLL.

No intercept: P(a,b) + P(b,a) = 1 whatever the data. Soft labels are used as they are. Numpy and scipy only.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize, minimize_scalar

from model_export.errors import ExportError
from model_export.pairs import pairs_digest
from plurality.core.pairs import Prompt, prompt_key
from plurality.core.rows import PreferenceRow
from plurality.stats.calibration import brier, ece, ece_noise_floor, log_losses, nll, reliability_curve
from service.bundle.calibrate import UNCALIBRATED, Calibrator
from service.bundle.manifest import Calibration, CalibrationMethod, CalibrationQuality, CurveBin

BINS = 10
MIN_PAIRS = 30
_LOG_T_RANGE = (-4.0, 6.0)
"""Of T relative to the differences' root mean square: what can be found does not depend on the rewards' unit."""
_LEAST, _MOST = 1e-3, 1e6
"""What a manifest can say."""

FOLDS = 5
MAX_KNOTS = 1024
_LOG_GAMMA_RANGE = (-2.0, 2.0)
_MOST_LOGARITHM = 9.0
"""Of a logit while fitting: e⁹ is certainty."""

Array = NDArray[np.float64]
Method = CalibrationMethod | Literal["auto"]


def fit_temperature(difference: Array, label: Array) -> float:
    """T > 0 that minimizes the cross-entropy of σ(difference / T) to the labels.

    Args:
        difference: r_a − r_b, shape [N].
        label: P(a preferred), shape [N], in [0, 1].

    Raises:
        ExportError: too few pairs, or rewards that carry no information on the labels.
    """
    if len(difference) < MIN_PAIRS:
        raise ExportError(f"{len(difference)} labeled pairs cannot fix a temperature; at least {MIN_PAIRS} are needed")
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


def calibrate(
    rewards: Array, pairs: Sequence[PreferenceRow], *, method: Method = "auto", per_source: bool = False
) -> Calibration:
    """Fit, and say what it did to the held-out probabilities.

    Args:
        rewards: of a, b, a, b, ..., shape [2N].
        pairs: the N pairs.
        method: `auto` chooses by cross-validated NLL, folds by prompt: the best method, unless temperature is within
            one standard error of it.
        per_source: a temperature of its own for every source with enough pairs; for `temperature` (and `auto`) only.

    Raises:
        ExportError: too few pairs, or rewards that carry no information on the labels.
    """
    difference = rewards[::2] - rewards[1::2]
    label = np.array([pair.preference for pair in pairs])
    if per_source and method not in {"auto", "temperature"}:
        raise ExportError(f"sources have temperatures of their own; that does not go with {method}")
    tried = (
        {} if per_source or method != "auto" else cross_validate(difference, label, [pair.context for pair in pairs])
    )
    chosen: CalibrationMethod = choose(tried) if tried else "temperature" if method == "auto" else method
    calibrator = _FITS[chosen](difference, label)
    if per_source:
        calibrator = replace(calibrator, sources=_source_temperatures(difference, label, pairs))
    sources = [pair.source for pair in pairs]
    after = probabilities(calibrator, difference, sources)
    return Calibration(
        method=chosen,
        temperature=calibrator.temperature,
        exponent=calibrator.exponent if chosen == "power" else None,
        knots=calibrator.knots,
        sources=dict(calibrator.sources),
        pairs=len(pairs),
        data_sha256=pairs_digest(pairs, sources=per_source),
        before=quality(probabilities(UNCALIBRATED, difference), label),
        after=quality(after, label),
        cross_validated_nll={name: float(losses.mean()) for name, losses in tried.items()},
        ece_noise_floor=ece_noise_floor(after, bins=BINS).mean,
    )


def cross_validate(difference: Array, label: Array, prompts: Sequence[Prompt]) -> dict[CalibrationMethod, Array]:
    """NLL of every pair under each method, fitted on the other folds; a prompt's pairs are in one fold.

    Empty where the folds are too few for a fit: then there is nothing to choose by.
    """
    fold = np.array([int(prompt_key(prompt), 16) % FOLDS for prompt in prompts])
    losses = {name: np.zeros(len(label)) for name in _FITS}
    try:
        for part in np.unique(fold):
            held, rest = fold == part, fold != part
            for name, fit in _FITS.items():
                found = probabilities(fit(difference[rest], label[rest]), difference[held])
                losses[name][held] = log_losses(found, label[held])
    except ExportError:
        return {}
    return losses


def choose(losses: Mapping[CalibrationMethod, Array]) -> CalibrationMethod:
    """The least mean loss; temperature if it is within one standard error of that, by pairs."""
    best = min(losses, key=lambda name: float(losses[name].mean()))
    behind = losses["temperature"] - losses[best]
    error = float(behind.std(ddof=1)) / np.sqrt(len(behind))
    return "temperature" if behind.mean() <= error else best


def fit_power(difference: Array, label: Array) -> Calibrator:
    """T and γ of σ(sign(Δ)·|Δ/T|^γ), by minimum cross-entropy."""
    start = fit_temperature(difference, label)
    size = np.log(np.maximum(np.abs(difference), 1e-12 * start)) - np.log(start)

    def loss(parameters: Array) -> float:
        log_t, log_gamma = parameters
        power = np.exp(np.minimum(np.exp(log_gamma) * (size - log_t), _MOST_LOGARITHM))
        return _cross_entropy(np.sign(difference) * power, label)

    found = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=[(-3.0, 3.0), _LOG_GAMMA_RANGE])
    return Calibrator(start * float(np.exp(found.x[0])), float(np.exp(found.x[1])))


def fit_isotonic(difference: Array, label: Array) -> Calibrator:
    """Knots of the monotone curve of least squared error through the mirrored pairs (pool adjacent violators).

    Mirroring makes it the isotonic regression of the winner's label on |Δ|, kept at 1/2 or above. Equal |Δ| are one
    value. Each block's knot is at its mean |Δ|; P stays 1/(2N) below 1, so that no held-out loss is infinite.
    """
    decided = difference != 0  # equal rewards say 1/2 whatever is fitted
    if not decided.any():
        raise ExportError("the model rewards both responses of every pair alike; it cannot be calibrated on them")
    winner = np.where(difference < 0, 1.0 - label, label)[decided]
    size, place = np.unique(np.abs(difference)[decided], return_inverse=True)
    weight = np.bincount(place).astype(np.float64)
    fitted = isotonic_regression(np.bincount(place, weights=winner) / weight, weights=weight).x
    _, block = np.unique(fitted, return_inverse=True)
    total = np.bincount(block, weights=weight)
    at = np.bincount(block, weights=weight * size) / total
    level = np.bincount(block, weights=weight * fitted) / total
    knots = _thinned(at, np.clip(level, 0.5, 1.0 - 0.5 / len(winner)))
    return Calibrator(fit_temperature(difference, label), knots=knots)


def _thinned(at: Array, level: Array) -> tuple[tuple[float, float], ...]:
    """Knots, no more than a manifest holds: evenly spread places of a longer curve, its ends among them."""
    chosen = np.unique(np.linspace(0, len(at) - 1, min(len(at), MAX_KNOTS)).round().astype(int))
    return tuple((float(at[place]), float(level[place])) for place in chosen)


def _source_temperatures(difference: Array, label: Array, pairs: Sequence[PreferenceRow]) -> dict[str, float]:
    """T of each source with pairs enough for one; a source whose rewards fix none keeps the pooled one."""
    found: dict[str, float] = {}
    places: dict[str, list[int]] = {}
    for place, pair in enumerate(pairs):
        places.setdefault(pair.source, []).append(place)
    for source, own in places.items():
        with suppress(ExportError):
            found[source] = fit_temperature(difference[own], label[own])
    return found


def probabilities(calibrator: Calibrator, difference: Array, sources: Sequence[str | None] | None = None) -> Array:
    """P of every difference, shape [N], through the service's own function."""
    named = sources or [None] * len(difference)
    found = [calibrator.probability(float(gap), source) for gap, source in zip(difference, named, strict=True)]
    return np.array(found)


_FITS: dict[CalibrationMethod, Callable[[Array, Array], Calibrator]] = {
    "temperature": lambda difference, label: Calibrator(fit_temperature(difference, label)),
    "power": fit_power,
    "isotonic": fit_isotonic,
}


def quality(probabilities: Array, label: Array) -> CalibrationQuality:
    """ECE, Brier and NLL, and the curve behind the ECE."""
    curve = reliability_curve(probabilities, label, bins=BINS)
    return CalibrationQuality(
        ece=ece(probabilities, label, bins=BINS),
        brier=brier(probabilities, label),
        nll=nll(probabilities, label),
        curve=tuple(
            CurveBin(probability=min(1.0, float(p)), share=min(1.0, float(y)), count=int(n))
            for p, y, n in zip(curve.predicted, curve.observed, curve.count, strict=True)
        ),
    )
