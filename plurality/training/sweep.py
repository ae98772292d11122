"""A sweep: the same run at several learning rates and seeds, and the best one by held-out pairs.

Each run is a process of its own with a folder of its own; a finished one is kept, one that was cut off goes on. The
papers' sweeps say "best on validation data" and no more (arXiv 2412.03822): here the rule is an option, and a table
and a plot show what it chose from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from model_export.checkpoint import TRAINING_RECORD
from plurality.training.config import Criterion
from plurality.training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Run:
    """One training run of the sweep, finished."""

    learning_rate: float
    seed: int
    folder: str
    loss: float
    """On the held-out pairs, of the objective itself."""
    accuracy: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The learning rate with the best mean over seeds, and its best seed's run."""

    learning_rate: float
    run: Run
    at_edge: bool
    """The best rate is the lowest or highest that was tried: a better one may lie beyond."""


def sweep(
    folder: Path,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    expected: Mapping[str, Any],
    train: Callable[[float, int, Path, bool], None],
    say: Callable[[str], None],
) -> list[Run]:
    """Make every run that is not there.

    Args:
        expected: what the record of every run says besides: `training`, by setting, and `data_sha256`, by file.
        train: trains at a rate and seed into a folder; told whether to resume.

    Raises:
        TrainingError: nothing to sweep over, a run had no held-out pairs, or the folder holds a run of other settings
            or other data.
    """
    if len(set(learning_rates)) != len(learning_rates) or not learning_rates or not seeds:
        raise TrainingError("give learning rates, each once, and at least one seed")
    runs = []
    grid = [(rate, seed) for rate in sorted(learning_rates) for seed in seeds]
    for number, (rate, seed) in enumerate(grid, start=1):
        place = folder / f"lr-{rate:g}-seed-{seed}"
        if not (place / TRAINING_RECORD).exists():
            say(f"run {number} of {len(grid)}: learning rate {rate:g}, seed {seed}")
            train(rate, seed, place, any(place.glob("*/checkpoint-*/trainer_state.json")))
        runs.append(read_run(place, rate, seed, expected))
    return runs


def read_run(place: Path, rate: float, seed: int, expected: Mapping[str, Any]) -> Run:
    """A finished run's held-out figures; raises TrainingError where it has none, or is not the run that is expected."""
    saved = json.loads((place / TRAINING_RECORD).read_text(encoding="utf-8"))
    record = saved["training"]
    settings = expected["training"] | {"learning_rate": rate, "seed": seed}
    if other := sorted(name for name, value in settings.items() if record.get(name, value) != value):
        raise TrainingError(f"{place} holds a run with other settings ({', '.join(other)}); choose another --output")
    if saved.get("data_sha256") != expected["data_sha256"]:
        raise TrainingError(f"{place} holds a run on other data; choose another --output")
    if "validation_loss" not in record:
        raise TrainingError(f"{place} was trained without --validation: there is nothing to choose by")
    if "validation_accuracy" not in record:
        raise TrainingError(f"{place}: all held-out pairs are ties, so that no run has an accuracy")
    return Run(rate, seed, place.name, record["validation_loss"], record["validation_accuracy"])


def choose(runs: Sequence[Run], criterion: Criterion) -> Chosen:
    """By the mean over seeds; ties go to the lower rate."""

    def badness(run: Run) -> float:
        return run.loss if criterion == "loss" else -run.accuracy

    rates = sorted({run.learning_rate for run in runs})
    best = min(rates, key=lambda rate: fmean(badness(run) for run in runs if run.learning_rate == rate))
    run = min((run for run in runs if run.learning_rate == best), key=badness)
    return Chosen(best, run, at_edge=len(rates) > 1 and best in {rates[0], rates[-1]})


def write_sweep(folder: Path, runs: Sequence[Run], chosen: Chosen, criterion: Criterion) -> None:
    """sweep.json for machines, sweep.png for people."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second that a dry command should not pay

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    record = {"criterion": criterion, "chosen": asdict(chosen), "runs": [asdict(run) for run in runs]}
    (folder / "sweep.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5))
    rates = sorted({run.learning_rate for run in runs})
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        axes.scatter([run.learning_rate for run in runs], [getattr(run, name) for run in runs], s=14, alpha=0.5)
        means = [fmean(getattr(run, name) for run in runs if run.learning_rate == rate) for rate in rates]
        axes.plot(rates, means, marker="o")
        axes.axvline(chosen.learning_rate, linestyle=":", color="grey")
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")
        axes.set_ylabel(f"held-out {name}")
    figure.tight_layout()
    figure.savefig(folder / "sweep.png", dpi=110)
    plt.close(figure)
