"""Statistics of predicted preferences, in numpy alone.

    accuracy       who is preferred: `pairwise_accuracy`
    calibration    how surely: `ece` and its kin, `brier`, `nll`, `l1`, and the noise floor below which ECE says nothing
    noise          that floor by bin: `reliability_band`
    decomposition  `brier_parts`: reliability, resolution, uncertainty
    correlation    `pearson`, `spearman`
    comparison     cluster bootstrap intervals, of one model and of the difference of two; `mcnemar`
    dependent      `williams`: whether two models correlate with the same people differently
    sequential     means that may be looked at after every vote: confidence sequences, always-valid p-values
    tails          `outliers` of reward differences
    selection      `best_of_n`: what a model's choice among n answers is worth

Refuses to guess: bad input is a ValueError, a statistic without a value is an UndefinedStatistic, never NaN. Refuses
the winner-only ECE (P of the preferred answer against a label of always 1): it is mean(1 − P), not calibration.
Throughout, `probability` is P(a preferred) and `label` the share that preferred a, both of shape [N] in [0, 1].
"""

from metrics._validate import UndefinedStatistic
from metrics.accuracy import PairwiseAccuracy, pairwise_accuracy
from metrics.calibration import (
    NoiseFloor,
    ReliabilityCurve,
    ace,
    brier,
    ece,
    ece_noise_floor,
    l1,
    mce,
    nll,
    reliability_curve,
)
from metrics.comparison import Interval, cluster_bootstrap, mcnemar, paired_cluster_bootstrap
from metrics.correlation import pearson, spearman
from metrics.decomposition import BrierParts, brier_parts
from metrics.dependent import Williams, williams
from metrics.noise import NoiseBand, reliability_band
from metrics.selection import best_of_n
from metrics.sequential import (
    SequentialMean,
    cluster_means,
    confidence_sequence,
    log_capital,
    p_values,
    sequential_mean,
)
from metrics.tails import Outliers, outliers

__all__ = [
    "BrierParts",
    "Interval",
    "NoiseBand",
    "NoiseFloor",
    "Outliers",
    "PairwiseAccuracy",
    "ReliabilityCurve",
    "SequentialMean",
    "UndefinedStatistic",
    "Williams",
    "ace",
    "best_of_n",
    "brier",
    "brier_parts",
    "cluster_bootstrap",
    "cluster_means",
    "confidence_sequence",
    "ece",
    "ece_noise_floor",
    "l1",
    "log_capital",
    "mce",
    "mcnemar",
    "nll",
    "outliers",
    "p_values",
    "paired_cluster_bootstrap",
    "pairwise_accuracy",
    "pearson",
    "reliability_band",
    "reliability_curve",
    "sequential_mean",
    "spearman",
    "williams",
]
