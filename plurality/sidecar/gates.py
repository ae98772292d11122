"""Quality gates that a trained version must pass before an alias names it. Pure: arrays in, reasons out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.sidecar.config import GateConfig
from plurality.stats import ece, ece_noise_floor, mcnemar
from plurality.stats.accuracy import correctness
from plurality.stats.paired import STATISTICS

Array = NDArray[np.float64]
_CHANCE = 0.05
"""Level of McNemar's one-sided test: a loss of accuracy at a larger p may be luck."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Result of one quality gate."""

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Pairs that neither trained nor calibrated the candidate, with both versions' predictions. Shapes [N]."""

    label: Array
    """P(a preferred) by people."""
    current: Array
    """Calibrated P(a preferred) of the running version."""
    candidate: Array
    source: Sequence[str]


def evaluate(evidence: Evidence, gates: GateConfig) -> list[Gate]:
    """Evaluate every gate, each with its reason; the candidate may be published if all pass."""
    count = len(evidence.label)
    enough = Gate(
        "pairs", count >= gates.min_pairs, f"{count} pairs to evaluate on, {gates.min_pairs} are needed at least"
    )
    if not enough.passed:
        return [enough]
    found = [enough, _varied(evidence), _accuracy("accuracy", evidence, np.ones(count, dtype=bool), gates)]
    found.append(_calibrated(evidence, gates))
    for name in sorted(set(evidence.source)):
        mask = np.array([source == name for source in evidence.source])
        if int(mask.sum()) >= gates.min_source_pairs:
            found.append(_accuracy(f"accuracy/{name}", evidence, mask, gates))
    return found


def figures(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Accuracy (undecided counts half), ECE, Brier score and NLL of both versions, for the report."""
    both = {"current": evidence.current, "candidate": evidence.candidate}
    return {
        name: {
            "accuracy": float(correctness(probability, evidence.label).mean()),
            **{statistic: STATISTICS[statistic](probability, evidence.label) for statistic in ("ece", "brier", "nll")},
        }
        for name, probability in both.items()
        if len(probability)
    }


def _varied(evidence: Evidence) -> Gate:
    spread = float(evidence.candidate.std())
    return Gate(
        "varied", spread > 1e-6, f"standard deviation {spread:.3g} of its probabilities: a constant one is dead"
    )


def _accuracy(name: str, evidence: Evidence, mask: NDArray[np.bool_], gates: GateConfig) -> Gate:
    label = evidence.label[mask]
    before, after = correctness(evidence.current[mask], label), correctness(evidence.candidate[mask], label)
    loss = float(before.mean() - after.mean())
    lost, gained = int((after < before).sum()), int((after > before).sum())
    chance = mcnemar(lost, gained)
    passed = loss <= gates.max_accuracy_loss or chance >= _CHANCE
    verdict = "" if loss <= gates.max_accuracy_loss else f"; may be chance: p = {chance:.3f}" if passed else (
        f": no chance, p = {chance:.4f}"
    )  # fmt: skip
    return Gate(
        name, passed, f"{before.mean():.4f} -> {after.mean():.4f} on {len(label)} pairs "
        f"({gained} gained, {lost} lost){verdict}",
    )  # fmt: skip


def _calibrated(evidence: Evidence, gates: GateConfig) -> Gate:
    before, after = ece(evidence.current, evidence.label), ece(evidence.candidate, evidence.label)
    floor = ece_noise_floor(evidence.candidate).mean
    allowed = max(floor + gates.max_ece, before)
    return Gate(
        "ece", after <= allowed,
        f"{before:.4f} -> {after:.4f}, allowed {allowed:.4f} (noise floor {floor:.4f} and {gates.max_ece:g}, "
        "or what the running version has)",
    )  # fmt: skip
