"""Statistics of predicted preferences, in numpy alone: accuracy, calibration, correlation, comparison.

Refuses to guess: bad input is a ValueError, a statistic without a value is an UndefinedStatistic, never NaN.
Throughout, `probability` is P(a preferred) and `label` the share that preferred a, both of shape [N] in [0, 1].
"""

from metrics._validate import UndefinedStatistic
from metrics.accuracy import PairwiseAccuracy, pairwise_accuracy
from metrics.calibration import ace, brier, ece, ece_noise_floor, l1, mce, nll, reliability_curve
from metrics.comparison import Interval, cluster_bootstrap, paired_cluster_bootstrap
from metrics.correlation import pearson, spearman

__all__ = [
    "Interval",
    "PairwiseAccuracy",
    "UndefinedStatistic",
    "ace",
    "brier",
    "cluster_bootstrap",
    "ece",
    "ece_noise_floor",
    "l1",
    "mce",
    "nll",
    "paired_cluster_bootstrap",
    "pairwise_accuracy",
    "pearson",
    "reliability_curve",
    "spearman",
]
