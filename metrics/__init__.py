"""Statistics of predicted preferences, in numpy alone.

    accuracy      who is preferred: `pairwise_accuracy`
    calibration   how surely: `ece` and its kin, `brier`, `nll`, `l1`, and the noise floor below which ECE says nothing
    correlation   `pearson`, `spearman`
    comparison    cluster bootstrap intervals, of one model and of the difference of two; `mcnemar`

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

__all__ = [
    "Interval",
    "NoiseFloor",
    "PairwiseAccuracy",
    "ReliabilityCurve",
    "UndefinedStatistic",
    "ace",
    "brier",
    "cluster_bootstrap",
    "ece",
    "ece_noise_floor",
    "l1",
    "mce",
    "mcnemar",
    "nll",
    "paired_cluster_bootstrap",
    "pairwise_accuracy",
    "pearson",
    "reliability_curve",
    "spearman",
]
