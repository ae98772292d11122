"""From a run's held-out answers to curves: what the reward model thinks of them, and what the population does."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from research.rlhf.folder import read_jsonl
from research.rlhf.oracle import Manner, Oracle, shares

Array = NDArray[np.float64]
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """Means over the held-out answers of one moment of a run."""

    step: int
    reward: float
    """What the service gave."""
    utility: float
    """What the population truly thinks."""
    correct: float
    """Among prompts with a right answer."""
    tokens: float
    kl: float
    """KL(π‖π₀) in nats an answer, estimated by the answers themselves."""
    manners: dict[Manner, float]


def run_curve(run: Path, oracle: Oracle, objective: frozenset[str]) -> list[Point]:
    """A point for each moment at which the run looked at the held-out prompts."""
    rows = read_jsonl(run / "held_out.jsonl")
    points = []
    for step in sorted({row["step"] for row in rows}):
        here = [row for row in rows if row["step"] == step]
        verdicts = [oracle.judge(row["prompt"], row["text"]) for row in here]
        with_right = [v.correct for v, row in zip(verdicts, here, strict=True) if row["prompt"] in objective]
        points.append(
            Point(
                step=step,
                reward=_mean([row["reward"] for row in here]),
                utility=_mean([verdict.utility for verdict in verdicts]),
                correct=_mean(with_right),
                tokens=_mean([row["tokens"] for row in here]),
                kl=_mean([row["log_ratio"] for row in here]),
                manners=dict(shares(verdicts)),
            )
        )
    return points


@dataclass(frozen=True, slots=True)
class Best:
    """Best of n: means over prompts, and 95% intervals of a bootstrap over prompts."""

    n: int
    kl: float
    """log n − (n−1)/n: what choosing costs where no two samples are alike, an upper bound where some are."""
    reward: tuple[float, float, float]
    """Mean, low, high."""
    utility: tuple[float, float, float]
    ceiling: float
    """Mean utility of the truly best of n: what a perfect reward model would reach."""


def best_of_n_curve(rows: Sequence[dict[str, object]], oracle: Oracle, most: int = 32) -> list[Best]:
    """Exact means over all subsets of n of the samples, not of one draw.

    Args:
        rows: prompt, texts, rewards and the service's order, best first.
        most: the largest n; less than the samples a prompt, or there is one subset only.
    """
    rewards, utilities, ceilings = [], [], []
    for row in rows:
        prompt, texts, given, order = (row[name] for name in ("prompt", "texts", "rewards", "order"))
        assert isinstance(prompt, str) and isinstance(texts, list) and isinstance(given, list)  # noqa: S101, PT018
        assert isinstance(order, list)  # noqa: S101
        true = np.array([oracle.judge(prompt, text).utility for text in texts])
        rewards.append(np.array(given, dtype=np.float64)[order])
        utilities.append(true[order])
        ceilings.append(np.sort(true)[::-1])
    reward_PN, utility_PN, ceiling_PN = np.array(rewards), np.array(utilities), np.array(ceilings)
    counts = [2**power for power in range(most.bit_length()) if 2**power <= most]
    return [_best(n, reward_PN, utility_PN, ceiling_PN) for n in counts]


def chances_of_best(samples: int, n: int) -> Array:
    """The chance that the sample of rank i (0 is best) is the best of a random subset of n."""
    return np.array([comb(samples - 1 - rank, n - 1) / comb(samples, n) for rank in range(samples)])


def _best(n: int, reward_PN: Array, utility_PN: Array, ceiling_PN: Array) -> Best:
    """P prompts, N samples in the order of their rank."""
    chance_N = chances_of_best(reward_PN.shape[1], n)
    return Best(
        n,
        log(n) - (n - 1) / n,
        interval(reward_PN @ chance_N),
        interval(utility_PN @ chance_N),
        float((ceiling_PN @ chance_N).mean()),
    )


def interval(values: Array) -> tuple[float, float, float]:
    """Mean and the bootstrap's 95% interval of it."""
    dice = np.random.default_rng(0)
    means = values[dice.integers(len(values), size=(_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
