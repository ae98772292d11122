"""Statistics of predicted preferences, in numpy alone.

    accuracy       who is preferred: `pairwise_accuracy`
    calibration    how surely: `ece` and its kin, `brier`, `nll`, `l1`, and the noise floor below which ECE says nothing
    noise          that floor by bin: `reliability_band`
    decomposition  `brier_parts`: reliability, resolution, uncertainty
    correlation    `pearson`, `spearman`
    comparison     cluster bootstrap intervals, of one model and of the difference of two; `mcnemar`
    paired         two predictors on the same rows: the statistics by name, their figures and paired differences
    dependent      `williams`: whether two models correlate with the same people differently
    sequential     means that may be looked at after every vote: confidence sequences, always-valid p-values
    tails          `outliers` of reward differences
    selection      `best_of_n`: what a model's choice among n answers is worth
    drift          `psi`, `ks` against a reference's quantiles, each with its noise floor; `length_shift`

Refuses to guess: bad input is a ValueError, a statistic without a value is an UndefinedStatistic, never NaN. Refuses
the winner-only ECE (P of the preferred answer against a label of always 1): it is mean(1 − P), not calibration.
Throughout, `probability` is P(a preferred) and `label` the share that preferred a, both of shape [N] in [0, 1].
"""

from plurality.stats._validate import UndefinedStatistic
from plurality.stats.accuracy import pairwise_accuracy
from plurality.stats.calibration import (
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
from plurality.stats.comparison import Interval, cluster_bootstrap, mcnemar, paired_cluster_bootstrap
from plurality.stats.correlation import pearson, spearman
from plurality.stats.decomposition import BrierParts, brier_parts
from plurality.stats.dependent import Williams, williams
from plurality.stats.drift import LengthShift, Reference, ks, ks_noise_floor, length_shift, psi, psi_noise_floor
from plurality.stats.noise import NoiseBand, reliability_band
from plurality.stats.selection import best_of_n
from plurality.stats.sequential import (
    SequentialMean,
    cluster_means,
    confidence_sequence,
    log_capital,
    p_values,
    sequential_mean,
)
from plurality.stats.tails import Outliers, outliers

__all__ = [
    "BrierParts",
    "Interval",
    "LengthShift",
    "NoiseBand",
    "NoiseFloor",
    "Outliers",
    "Reference",
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
    "ks",
    "ks_noise_floor",
    "l1",
    "length_shift",
    "log_capital",
    "mce",
    "mcnemar",
    "nll",
    "outliers",
    "p_values",
    "paired_cluster_bootstrap",
    "pairwise_accuracy",
    "pearson",
    "psi",
    "psi_noise_floor",
    "reliability_band",
    "reliability_curve",
    "sequential_mean",
    "spearman",
    "williams",
]
