"""The exported file against torch, through the service's own tokeniser and runner."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from metrics.correlation import spearman
from model_export.errors import FidelityError
from service.domain import Encoding
from service.repository.manifest import Fidelity, Precision
from service.runtime.backend import Backend, pad

FP32_TOLERANCE = 1e-5
"""Largest |difference| to torch in float64, relative to the largest |logit|, or to 1 if that is more (ADR 0003)."""
INT8_SPEARMAN = 0.995
INT8_ACCURACY_LOSS = 0.005
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Logits of the same texts by the reference and by the file; `pairs` of them, a, b, a, b, ..., are labelled."""

    reference: NDArray[np.float64]
    exported: NDArray[np.float64]
    labels: NDArray[np.float64]
    """P(a preferred) of the labelled pairs: the first 2 * len(labels) texts. May be empty."""


def run_backend(backend: Backend, encodings: Sequence[Encoding], pad_id: int, *, alone: bool) -> NDArray[np.float64]:
    """Logits in order. `alone`: one text a run, as int8 is served; otherwise in length-sorted batches."""
    order = sorted(range(len(encodings)), key=lambda i: len(encodings[i]))
    size = 1 if alone else _BATCH
    logits = np.empty(len(encodings))
    for start in tqdm(range(0, len(order), size), desc="ONNX logits", unit="run", leave=False):
        rows = order[start : start + size]
        logits[rows] = backend.run(pad([encodings[i] for i in rows], pad_id))
    return logits


def check_fidelity(measured: Measured, precision: Precision) -> Fidelity:
    """Compare, and refuse what a user would not expect of this precision.

    Raises:
        FidelityError: with the figure, its limit and the next step.
    """
    difference = np.abs(measured.exported - measured.reference)
    if not np.isfinite(measured.exported).all():
        raise FidelityError(f"the {precision} file answers NaN or infinity for {_count_bad(measured.exported)} texts")
    rho = _rank_agreement(measured)
    change = _accuracy(measured.exported, measured.labels) - _accuracy(measured.reference, measured.labels)
    if precision == "fp32":
        worst = float(difference.max() / max(1.0, np.abs(measured.reference).max()))
        if worst > FP32_TOLERANCE:
            raise FidelityError(
                f"the fp32 file differs from torch by {worst:.2g}, more than {FP32_TOLERANCE:.0e}; "
                "this architecture is not exported faithfully by this version of optimum"
            )
    elif rho < INT8_SPEARMAN or (len(measured.labels) and change < -INT8_ACCURACY_LOSS):
        raise FidelityError(
            f"the {precision} file ranks too differently: Spearman {rho:.4f} (at least {INT8_SPEARMAN}), accuracy "
            f"{change:+.4f} (at least {-INT8_ACCURACY_LOSS}); export with --precision fp32"
        )
    return Fidelity(
        texts=len(measured.reference),
        reference="torch",
        max_abs_difference=float(difference.max()),
        spearman=rho,
        accuracy_change=change if len(measured.labels) else None,
    )


def _rank_agreement(measured: Measured) -> float:
    """Spearman on the labelled texts where there are any: those are what the model will be asked about."""
    if np.ptp(measured.reference) == 0 or np.ptp(measured.exported) == 0:
        raise FidelityError("the model answers the same reward for every text: its head is not trained, or broken")
    known = 2 * len(measured.labels) or len(measured.reference)
    return spearman(measured.reference[:known], measured.exported[:known])


def _accuracy(logits: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """Share of decided pairs whose preferred side has the larger logit; 0 without labels."""
    margin = logits[: 2 * len(labels) : 2] - logits[1 : 2 * len(labels) : 2]
    decided = labels != 0.5
    return float(np.mean((margin > 0)[decided] == (labels > 0.5)[decided])) if decided.any() else 0.0


def _count_bad(values: NDArray[np.float64]) -> int:
    return int((~np.isfinite(values)).sum())
