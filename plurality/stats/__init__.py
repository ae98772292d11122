"""Statistics of predicted preferences, in numpy alone.

    accuracy       who is preferred: `pairwise_accuracy`
    calibration    how surely: `ece` and its kin, `brier`, `nll`, `l1`, and the noise floor below which ECE says nothing
    noise          that floor by bin: `reliability_band`
    correlation    `pearson`, `spearman`
    comparison     cluster bootstrap intervals, of one model and of the difference of two
    paired         two predictors on the same rows: the statistics by name, their figures and paired differences
    sequential     `sequential_mean`, which may be looked at after every vote: an always-valid interval and p-value
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
    brier,
    ece,
    ece_noise_floor,
    l1,
    nll,
    reliability_curve,
)
from plurality.stats.comparison import Interval, cluster_bootstrap, paired_cluster_bootstrap
from plurality.stats.correlation import pearson, spearman
from plurality.stats.drift import LengthShift, Reference, ks, ks_noise_floor, length_shift, psi, psi_noise_floor
from plurality.stats.noise import NoiseBand, reliability_band
from plurality.stats.selection import best_of_n
from plurality.stats.sequential import SequentialMean, cluster_means, log_capital, sequential_mean
from plurality.stats.tails import Outliers, outliers

__all__ = [
    "Interval", "LengthShift", "NoiseBand", "NoiseFloor", "Outliers", "Reference",
    "ReliabilityCurve", "SequentialMean", "UndefinedStatistic", "best_of_n", "brier", "cluster_bootstrap",
    "cluster_means", "ece", "ece_noise_floor", "ks", "ks_noise_floor", "l1", "length_shift", "log_capital", "nll",
    "outliers", "paired_cluster_bootstrap", "pairwise_accuracy", "pearson", "psi", "psi_noise_floor",
    "reliability_band", "reliability_curve", "sequential_mean", "spearman",
]  # fmt: skip
