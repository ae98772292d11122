"""From kept rewards to figures: calibrated alike, paired, with intervals over whole clusters."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_export.errors import ExportError
from model_export.fit_calibration import fit_temperature, probabilities
from plurality.core.rows import PreferenceRow
from plurality.stats import (
    Interval,
    UndefinedStatistic,
    cluster_bootstrap,
    ece,
    l1,
    nll,
    pairwise_accuracy,
    pearson,
    spearman,
)
from plurality.stats.correlation import average_ranks
from research.preferences.corpus import text_id, texts_of
from research.preferences.store import Run
from service.bundle.calibrate import UNCALIBRATED, Calibrator

Array = NDArray[np.float64]
Rows = Sequence[PreferenceRow]
Statistic = Callable[[Array, Array], float]
"""Of P and p*, shape [N] each."""
CONTESTED = 0.2
"""Largest |2p* − 1| of a contested pair."""
DRAWS = 400
_INFINITE = 1e6


@dataclass(frozen=True, slots=True)
class Fold:
    """Pairs that one run may be judged on, and those that its temperature is from."""

    validation: Rows
    test: Rows
    clusters: Sequence[Hashable]
    """Of each test pair."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Predictions on N held-out pairs, R times (repeats or seeds), each from a run that did not see the pair."""

    probability_RN: Array
    """P(a preferred) after each run's own temperature."""
    raw_RN: Array
    """σ(Δ) as trained."""
    fraction_N: Array
    """p*: the share of people who prefer a."""
    clusters: Sequence[Hashable]

    def select(self, chosen_N: NDArray[np.bool_]) -> "Judged":
        """Some of the pairs."""
        clusters = [cluster for cluster, keep in zip(self.clusters, chosen_N, strict=True) if keep]
        return Judged(self.probability_RN[:, chosen_N], self.raw_RN[:, chosen_N], self.fraction_N[chosen_N], clusters)


def differences(run: Run, rows: Rows) -> Array:
    """Δ = r_a − r_b of each row, shape [N]."""
    reward_N2 = run.of([(text_id(a), text_id(b)) for a, b in map(texts_of, rows)])
    found: Array = reward_N2[:, 0] - reward_N2[:, 1]
    return found


def fractions_of(rows: Rows) -> Array:
    """p* of each row, "equal" one half, shape [N]."""
    return np.array([row.preference for row in rows])


def temperature(run: Run, validation: Rows) -> Calibrator:
    """The run's temperature on its validation pairs; where its rewards go against people, P is all but 1/2."""
    return tempered(differences(run, validation), fractions_of(validation))


def tempered(difference: Array, label: Array) -> Calibrator:
    """The temperature of least cross-entropy. It is infinite, here 1e6, where the rewards go against the labels."""
    try:
        return Calibrator(fit_temperature(difference, label))
    except ExportError:
        return Calibrator(_INFINITE)


def validation_nll(run: Run, validation: Rows) -> float:
    """What learning rates are chosen by: NLL after a temperature, on the validation pairs themselves."""
    found = probabilities(temperature(run, validation), differences(run, validation))
    return nll(found, fractions_of(validation))


def judge(repeats: Sequence[Sequence[Run]], folds: Sequence[Fold]) -> Judged:
    """Calibrated predictions on all folds' test pairs.

    Args:
        repeats: R lists, each with one run for every fold.
    """
    parts = [[_predicted(run, fold) for run, fold in zip(runs, folds, strict=True)] for runs in repeats]
    return Judged(
        np.array([np.concatenate([calibrated for calibrated, _ in part]) for part in parts]),
        np.array([np.concatenate([raw for _, raw in part]) for part in parts]),
        np.concatenate([fractions_of(fold.test) for fold in folds]),
        [cluster for fold in folds for cluster in fold.clusters],
    )


def _predicted(run: Run, fold: Fold) -> tuple[Array, Array]:
    gap = differences(run, fold.test)
    return probabilities(temperature(run, fold.validation), gap), probabilities(UNCALIBRATED, gap)


def disagreement(probability: Array) -> Array:
    """1 − |2P − 1|: 0 where all agree, 1 where people split evenly."""
    return 1.0 - np.abs(2.0 * probability - 1.0)


def auc(score: Array, positive: NDArray[np.bool_]) -> float:
    """Chance that a positive has the higher score (Mann and Whitney 1947); equal scores count half.

    Raises:
        UndefinedStatistic: there is no positive, or nothing else.
    """
    count = int(positive.sum())
    if not 0 < count < len(positive):
        raise UndefinedStatistic("AUC: all pairs are of one kind")
    ranks = average_ranks(score)[positive].sum()
    return float((ranks - count * (count - 1) / 2) / (count * (len(positive) - count)))


def accuracy(probability: Array, fraction: Array) -> float:
    """Share of decided pairs that are ranked as most people do."""
    return pairwise_accuracy(probability, fraction)


def contested_auc(probability: Array, fraction: Array) -> float:
    """How well predicted disagreement finds the pairs that people are split on."""
    return auc(disagreement(probability), np.abs(2 * fraction - 1) <= CONTESTED + 1e-9)


def disagreement_spearman(probability: Array, fraction: Array) -> float:
    """Rank correlation of predicted with people's disagreement."""
    return spearman(disagreement(probability), disagreement(fraction))


STATISTICS: Mapping[str, Statistic] = {
    "Pearson": pearson,
    "Spearman": spearman,
    "L1": l1,
    "ECE": ece,
    "NLL": nll,
    "accuracy": accuracy,
    "disagreement": disagreement_spearman,
    "contested": contested_auc,
}


class Resampled:
    """One model's statistic on all rows and on each resample of whole clusters, averaged over its repeats.

    Resamples depend on the clusters alone: those of two models pair up, and the difference of two is that of their
    values (as `stats.paired_cluster_bootstrap` does it, for one pass over each model instead of one over each pair).
    """

    def __init__(self, judged: Judged, statistic: Statistic, *, raw: bool = False, draws: int = DRAWS) -> None:
        predicted_RN = judged.raw_RN if raw else judged.probability_RN
        self.values: list[float] = []

        def recorded(rows: NDArray[np.intp]) -> float:
            self.values.append(
                float(np.mean([statistic(predicted_N[rows], judged.fraction_N[rows]) for predicted_N in predicted_RN]))
            )
            return self.values[-1]

        self.interval = cluster_bootstrap(recorded, judged.clusters, draws=draws)

    def minus(self, other: "Resampled") -> Interval:
        """The difference with its paired 95 % interval.

        Raises:
            ValueError: a statistic that was undefined in some draws, which then do not pair up.
        """
        values = np.array(self.values) - np.array(other.values)
        low, high = np.quantile(values[1:], [0.025, 0.975])
        return Interval(float(values[0]), float(low), float(high))


def vote_floor(judged: Judged, votes_N: NDArray[np.int64], *, draws: int = 100) -> tuple[float, float]:
    """Mean and 95 % quantile of a perfect model's ECE to fractions of so few votes: Binomial(n, P)/n as labels."""
    rng, p = np.random.default_rng(0), judged.probability_RN[0]
    found = [ece(p, rng.binomial(votes_N, p) / votes_N) for _ in range(draws)]
    return float(np.mean(found)), float(np.quantile(found, 0.95))
