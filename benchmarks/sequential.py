"""`python -m benchmarks.sequential`: how many votes an experiment needs when it is looked at after every one.

Simulates paired accuracy differences of two versions on the same votes: 0 where both are right or both wrong, ±1 where
they differ. Writes docs/results/sequential.md and its plot: votes until the interval excludes zero, by true difference
and share of votes on which the versions differ, and the false alarms of equal versions. No service is needed.
"""

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from plurality.stats import log_capital
from plurality.stats._validate import Array

GAINS = (0.01, 0.02, 0.03, 0.05, 0.1)
DIFFERING = (0.05, 0.1, 0.2, 0.4)
_FIXED_Z = 1.959964
_POWER_Z = 0.841621
_LONGEST = 4.0
"""Times the votes of a fixed test with 80% power: where a simulation gives up."""
_CELLS = 20_000_000
"""Votes simulated at once."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Votes until a difference is found."""

    gain: float
    differing: float
    median: float
    ninety: float
    fixed: int
    """Votes of a test that is looked at once, with 80% power."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Shares of equal experiments that ever alarm."""

    differing: float
    votes: int
    sequential: float
    fixed: float


def differences(rng: np.random.Generator, shape: tuple[int, int], differing: float, gain: float = 0.0) -> Array:
    """Differences of accuracy on decided votes: ±1 on the share `differing`, `gain` on average; shape [S, T]."""
    u = rng.random(shape)
    return np.where(u < (differing + gain) / 2, 1.0, np.where(u < differing, -1.0, 0.0))


def needed(gain: float, differing: float, *, alpha: float, runs: int, seed: int) -> Needed:
    """Distribution of the first vote at which the better version's lower bound is above zero.

    Only votes where the versions differ move the capital: these are simulated, and the geometric gaps between them.
    """
    fixed = math.ceil((_FIXED_Z + _POWER_Z) ** 2 * (differing - gain**2) / gain**2)
    length = max(100, math.ceil(_LONGEST * fixed * differing))
    rng = np.random.default_rng(seed)
    first: list[Array] = []
    size = max(1, _CELLS // length)
    for start in range(0, runs, size):
        shape = (min(size, runs - start), length)
        x = np.where(rng.random(shape) < (1 + gain / differing) / 2, 1.0, -1.0)
        found = log_capital(x) >= math.log(2 / alpha)
        at = found.argmax(axis=-1)
        votes = np.cumsum(rng.geometric(differing, shape), axis=-1)[np.arange(len(x)), at]
        first.append(np.where(found.any(axis=-1), votes.astype(np.float64), math.inf))
    half, most = np.quantile(np.concatenate(first), [0.5, 0.9])
    return Needed(gain, differing, float(half), float(most), fixed)


def alarms(differing: float, *, alpha: float, runs: int, votes: int, seed: int) -> Alarms:
    """Equal versions, looked at after every vote, by this test and by a textbook 95% interval from vote 30 on."""
    x = differences(np.random.default_rng(seed), (runs, votes), differing)
    steps = np.arange(1, votes + 1)
    mean = np.cumsum(x, axis=-1) / steps
    variance = np.cumsum(x**2, axis=-1) / steps - mean**2
    textbook = (np.abs(mean) > _FIXED_Z * np.sqrt(variance / steps))[:, 29:]
    ours = np.maximum(log_capital(x), log_capital(-x)).max(axis=-1) >= math.log(2 / alpha)
    return Alarms(differing, votes, float(ours.mean()), float(textbook.any(axis=-1).mean()))


def main() -> None:
    """Parse, simulate, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="simulated experiments a cell")
    parser.add_argument("--alpha", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("docs/results"))
    options = parser.parse_args()
    cells = [(gain, differing) for differing in DIFFERING for gain in GAINS if gain < differing]
    found = [
        needed(gain, differing, alpha=options.alpha, runs=options.runs, seed=options.seed)
        for gain, differing in tqdm(cells, desc="differences")
    ]
    equal = [
        alarms(differing, alpha=options.alpha, runs=options.runs, votes=5000, seed=options.seed)
        for differing in tqdm((*DIFFERING, 1.0), desc="equal versions")
    ]
    command = f"python -m benchmarks.sequential --runs {options.runs} --alpha {options.alpha:g} --seed {options.seed}"
    options.into.mkdir(parents=True, exist_ok=True)
    (options.into / "sequential.md").write_text(
        report(found, equal, command, options.alpha, options.runs), encoding="utf-8"
    )
    plot(found, options.into / "sequential.png")


def report(found: list[Needed], equal: list[Alarms], command: str, alpha: float, runs: int) -> str:
    """The page's text."""
    bound = alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)
    lines = [
        "# How many votes an experiment needs\n",
        f"Made by `{command}`: {runs:,} simulated experiments a cell, numpy alone, any machine.\n",
        "Two versions predict the same decided votes, one vote a prompt. Where both are right or both wrong the "
        "difference of accuracy is 0, elsewhere ±1: its variance is the share of votes on which the versions differ "
        "(less the square of the difference), whatever the accuracy itself. "
        "Two versions of one lineage that differ seldom are told apart soon.\n",
        "## Votes until a true difference is found\n",
        f"Looked at after every vote, α = {alpha:g} two-sided. Found: the lower bound of the better version's gain is "
        "above zero. Beside it what a test needs that may be looked at only once, with a power of 80%: it must be "
        "told the difference beforehand, and finds nothing in one of five.\n",
        "| true difference, points | versions differ on | median | 90% have found it by | fixed test, 80% power |",
        "|---|---|---|---|---|",
        *(
            f"| +{100 * cell.gain:.0f} | {cell.differing:.0%} | {_votes(cell.median)} | {_votes(cell.ninety)} "
            f"| {_votes(cell.fixed)} |"
            for cell in found
        ),
        "\n![votes needed](sequential.png)\n",
        "## False alarms of equal versions\n",
        f"Share of experiments that ever alarm in {equal[0].votes:,} votes; α + 3σ of {runs:,} runs is {bound:.3f}. "
        "The textbook interval is mean ± 1.96 standard errors, looked at from vote 30 on.\n",
        "| versions differ on | this test | a 95% interval, peeked at |",
        "|---|---|---|",
        *(f"| {cell.differing:.0%} | {cell.sequential:.3f} | {cell.fixed:.3f} |" for cell in equal),
        "",
    ]
    return "\n".join(lines)


def plot(found: list[Needed], path: Path) -> None:
    """Median and 90% of the votes needed, by true difference, a line a share of differing votes."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for number, differing in enumerate(DIFFERING):
        cells = [cell for cell in found if cell.differing == differing]
        gains = [100 * cell.gain for cell in cells]
        axes.plot(gains, [cell.median for cell in cells], "o-", color=f"C{number}", label=f"differ on {differing:.0%}")
        axes.fill_between(gains, [c.median for c in cells], [c.ninety for c in cells], color=f"C{number}", alpha=0.15)
    axes.set(xscale="log", yscale="log", xlabel="true difference of accuracy, points", ylabel="decided votes needed")
    axes.set_xticks([100 * gain for gain in GAINS], [f"{100 * gain:.0f}" for gain in GAINS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(title="line: median; shade: up to 90%", frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _votes(count: float) -> str:
    """Rounded to two digits: more would be noise of the simulation."""
    if not math.isfinite(count):
        return "not found"
    return f"{round(count, 1 - math.floor(math.log10(count))):,.0f}"


if __name__ == "__main__":
    main()
