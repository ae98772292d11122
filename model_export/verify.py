"""The exported file against torch, through the service's own tokenizer and runner."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from tqdm import tqdm

from model_export.errors import FidelityError
from model_export.fit_calibration import probabilities
from plurality.stats.correlation import spearman
from service.bundle.calibrate import UNCALIBRATED
from service.bundle.manifest import Fidelity, Precision
from service.domain import Encoding
from service.engine.backend import Backend, pad

FP32_TOLERANCE = 1e-5
"""Largest |difference| to torch in float64, relative to the largest |logit|, or to 1 if that is more (ADR 0003)."""
FP16_SPEARMAN = 0.9995
"""Six tiny random architectures keep 0.9999; DeBERTa with positions in half precision falls to 0.9992 (ADR 0005)."""
INT8_SPEARMAN = 0.995
ACCURACY_LOSS = 0.005
SIGNIFICANCE = 0.05
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Logits of the same texts by the reference and by the file; `pairs` of them, a, b, a, b, ..., are labeled."""

    reference: NDArray[np.float64]
    exported: NDArray[np.float64]
    labels: NDArray[np.float64]
    """P(a preferred) of the labeled pairs: the first 2 * len(labels) texts. May be empty."""


def run_backend(backend: Backend, encodings: Sequence[Encoding], pad_id: int, *, alone: bool) -> NDArray[np.float64]:
    """Logits in order. `alone`: one text a run, as int8 is served; otherwise in length-sorted batches."""
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i].ids))
    size = 1 if alone else _BATCH
    logits = np.empty(len(encodings))
    for start in tqdm(range(0, len(order), size), desc="ONNX logits", unit="run", leave=False):
        rows = order[start : start + size]
        logits[rows] = backend.run(pad([encodings[i] for i in rows], pad_id))
    return logits


def check_fidelity(measured: Measured, precision: Precision) -> Fidelity:
    """Compare, and refuse what a user would not expect of this precision.

    fp32 is torch's to `FP32_TOLERANCE`. fp16 and int8 keep the order (Spearman, always) and the accuracy: a version is
    refused when it lost more than `ACCURACY_LOSS` on the labeled pairs and the loss is real, that is, McNemar's exact
    one-sided test on the pairs that changed sides is below `SIGNIFICANCE`. So a version that passes is within 0.5
    points on these pairs, or its loss cannot be told from chance; one that in truth loses nothing is refused for its
    accuracy at most once in twenty exports, however few the pairs. What few pairs cannot show is not promised: of 300,
    five that are lost and none gained (1.7 points) are the least that refuses. Pairs count as independent.

    Raises:
        FidelityError: with the figure, its limit and the next step.
    """
    if not np.isfinite(measured.exported).all():
        raise FidelityError(
            f"the {precision} file answers NaN or infinity for {_count_bad(measured.exported)} texts"
            f"{'' if precision == 'fp32' else '; export with --precision fp32'}"
        )
    fidelity = compare(measured)
    if precision == "fp32":
        _check_parity(measured)
    else:
        _check_order(fidelity, precision)
        _check_accuracy(measured, precision)
    return fidelity


def compare(measured: Measured) -> Fidelity:
    """Compute the manifest's fidelity record; needs finite logits."""
    lost, gained, decided = _changed_sides(measured)
    return Fidelity(
        texts=len(measured.reference),
        reference="torch",
        max_abs_difference=float(np.abs(measured.exported - measured.reference).max()),
        spearman=_rank_agreement(measured),
        accuracy_change=(gained - lost) / max(1, decided) if len(measured.labels) else None,
        max_probability_change=_probability_change(measured),
    )


def _check_parity(measured: Measured) -> None:
    difference = np.abs(measured.exported - measured.reference)
    worst = float(difference.max() / max(1.0, np.abs(measured.reference).max()))
    if worst > FP32_TOLERANCE:
        raise FidelityError(
            f"the fp32 file differs from torch by {worst:.2g}, more than {FP32_TOLERANCE:.0e}; "
            "this architecture is not exported faithfully by this version of optimum"
        )


def _check_order(fidelity: Fidelity, precision: Precision) -> None:
    least = FP16_SPEARMAN if precision == "fp16" else INT8_SPEARMAN
    if fidelity.spearman < least:
        raise FidelityError(
            f"the {precision} file ranks too differently: Spearman {fidelity.spearman:.5f}, at least {least} is "
            "needed; export with --precision fp32"
        )


def _check_accuracy(measured: Measured, precision: Precision) -> None:
    lost, gained, decided = _changed_sides(measured)
    p_value = mcnemar(lost, gained)
    if lost - gained > ACCURACY_LOSS * decided and p_value < SIGNIFICANCE:
        raise FidelityError(
            f"the {precision} file loses accuracy: {lost} of {decided} pairs lost and {gained} gained, "
            f"{100 * (gained - lost) / decided:+.1f} points (at least {-100 * ACCURACY_LOSS:+.1f}), "
            f"one-sided McNemar p = {p_value:.2g}; export with --precision fp32"
        )


def mcnemar(lost: int, gained: int) -> float:
    """McNemar's exact one-sided test (1947): the chance of so many losses were losses and gains as likely, in [0, 1].

    Below 0.05 the loss of accuracy is real: the one-sided 95 % interval of lost / (lost + gained) lies above one half.

    Args:
        lost: pairs that only the first model has right.
        gained: pairs that only the second model has right.
    """
    return float(binomtest(lost, lost + gained, alternative="greater").pvalue) if lost else 1.0


def _rank_agreement(measured: Measured) -> float:
    """Spearman on the labeled texts where there are any: those are what the model will be asked about."""
    if np.ptp(measured.reference) == 0 or np.ptp(measured.exported) == 0:
        raise FidelityError("the model answers the same reward for every text: its head is not trained, or broken")
    known = 2 * len(measured.labels) or len(measured.reference)
    return spearman(measured.reference[:known], measured.exported[:known])


def _probability_change(measured: Measured) -> float:
    """Largest |Δσ(r_a − r_b)|, before calibration; on consecutive texts where no pairs are labeled."""
    texts = 2 * (len(measured.labels) or len(measured.reference) // 2)
    before, after = (
        probabilities(UNCALIBRATED, logits[:texts:2] - logits[1:texts:2])
        for logits in (measured.reference, measured.exported)
    )
    return float(np.abs(after - before).max(initial=0.0))


def _changed_sides(measured: Measured) -> tuple[int, int, int]:
    """Decided pairs that only the reference has right, that only the file has right, and all of them."""
    before, after = _right(measured.reference, measured.labels), _right(measured.exported, measured.labels)
    return int((before & ~after).sum()), int((after & ~before).sum()), len(before)


def _right(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the preferred side of each decided pair has the larger logit."""
    margin = logits[: 2 * len(labels) : 2] - logits[1 : 2 * len(labels) : 2]
    decided = labels != 0.5
    right: NDArray[np.bool_] = (margin > 0)[decided] == (labels > 0.5)[decided]
    return right


def _count_bad(values: NDArray[np.float64]) -> int:
    return int((~np.isfinite(values)).sum())
