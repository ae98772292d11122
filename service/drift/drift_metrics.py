"""Computes the drift metrics of a window. Pure; a metric that the window is too short for is absent, never NaN."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.stats import (
    Reference,
    UndefinedStatistic,
    ks,
    ks_noise_floor,
    length_shift,
    psi,
    psi_noise_floor,
    spearman,
)
from service.bundle.calibrate import Calibrator
from service.bundle.manifest import Manifest
from service.drift.window import WindowSnapshot
from service.settings.groups import WatchSettings

DriftMetrics = dict[str, float]
"""Values by the names of `DRIFT_METRICS`."""
DRIFT_METRICS = {
    "watch_items": "Rewards in the window that the other gauges are taken from.",
    "score_psi": "Population stability index of the window's rewards against the reference set.",
    "score_psi_noise_floor": "What rm_score_psi exceeds by chance a few times in a thousand windows.",
    "score_ks": "Least Kolmogorov-Smirnov distance to the reference set that its known quantiles allow.",
    "score_ks_noise_floor": "What rm_score_ks exceeds by chance less than once in a thousand windows.",
    "score_saturation_ratio": "Share of rewards whose P against the reference's median is within 0.01 of 0 or 1.",
    "score_outside_ratio": "Share of rewards beyond the reference's outermost quantiles; 0.02 without drift.",
    "truncated_ratio": "Share of items that were cut to max_length.",
    "reward_length_correlation": "Spearman correlation of reward and response length in the window.",
    "response_length_tokens": "Mean response length in the window.",
    "response_length_ratio": "Mean response length since the version's first window, over the mean in it.",
    "reward_shift": "Rise of the mean reward since the version's first window, in the reference's std.",
    "reward_shift_by_length": "The part of rm_reward_shift that longer responses earn by their length.",
    "group_spread": "Mean std of rewards within a prompt's group, in the reference's std.",
}
"""Every drift metric and its help text; each is the gauge `rm_<name>`."""
Array = NDArray[np.float64]
_SATURATED = 0.01
_LEAST_GROUPS = 20


@dataclass(frozen=True, slots=True)
class ReferenceStats:
    """The distribution of a version's rewards on the reference set of its manifest."""

    reference: Reference | None
    """None where the manifest's quantiles are not those of a sample: then drift is not measured."""
    std: float
    median: float
    calibrator: Calibrator

    @classmethod
    def of(cls, manifest: Manifest) -> "ReferenceStats":
        """Read them from a manifest."""
        statistics = manifest.reward_statistics
        try:
            reference = Reference.of(statistics.quantiles, count=statistics.count)
        except ValueError:
            reference = None
        return cls(reference, statistics.std, statistics.quantiles["0.5"], manifest.calibrator)


def read(window: WindowSnapshot, reference_stats: ReferenceStats, settings: WatchSettings) -> DriftMetrics:
    """Compute all metrics of a window. Takes milliseconds: call it off the event loop."""
    found: DriftMetrics = {}
    if len(window.rows) >= settings.min_items:
        rows = np.array(window.rows)
        rewards, lengths, cut = rows[:, 0], rows[:, 1], rows[:, 2]
        found |= {
            "watch_items": float(len(rows)),
            "truncated_ratio": float((cut > 0).mean()),
            "response_length_tokens": float(lengths.mean()),
            "score_saturation_ratio": _saturated(sorted(rewards.tolist()), reference_stats),
        }
        found |= _correlation(rewards, lengths)
        found |= _drift(rewards, reference_stats.reference) if reference_stats.reference else {}
    if window.fresh >= settings.min_items:
        found |= _trend(np.array(window.first), np.array(window.rows[-window.fresh :]), reference_stats.std)
    if len(window.spreads) >= _LEAST_GROUPS and reference_stats.std > 0:
        found["group_spread"] = float(np.mean(window.spreads)) / reference_stats.std
    return found


def _saturated(rewards: Sequence[float], reference_stats: ReferenceStats) -> float:
    """Share at either end of the scale of P(preferred over the reference's median), which rises with the reward."""

    def probability(reward: float) -> float:
        return reference_stats.calibrator.probability(reward - reference_stats.median)

    low = bisect_left(rewards, _SATURATED, key=probability)
    high = len(rewards) - bisect_right(rewards, 1 - _SATURATED, key=probability)
    return (low + high) / len(rewards)


def _correlation(rewards: Array, lengths: Array) -> DriftMetrics:
    try:
        return {"reward_length_correlation": spearman(rewards, lengths)}
    except UndefinedStatistic:
        return {}


def _drift(rewards: Array, reference: Reference) -> DriftMetrics:
    count = len(rewards)
    outside = (rewards < reference.values[0]) | (rewards > reference.values[-1])
    found = {
        "score_outside_ratio": float(outside.mean()),
        "score_ks": ks(rewards, reference),
        "score_ks_noise_floor": ks_noise_floor(count, reference),
    }
    try:
        return found | {
            "score_psi": psi(rewards, reference),
            "score_psi_noise_floor": psi_noise_floor(count, reference),
        }
    except UndefinedStatistic:
        return found


def _trend(first: Array, since: Array, std: float) -> DriftMetrics:
    found: DriftMetrics = {}
    if (before := float(first[:, 1].mean())) > 0:
        found["response_length_ratio"] = float(since[:, 1].mean()) / before
    if std <= 0:
        return found
    found["reward_shift"] = float(since[:, 0].mean() - first[:, 0].mean()) / std
    try:
        shift = length_shift(first[:, 0], first[:, 1], since[:, 0], since[:, 1])
    except UndefinedStatistic:
        return found
    return found | {"reward_shift_by_length": shift.by_length / std}
