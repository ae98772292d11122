"""The whole loop on generated data: make pairs, train two models, export, evaluate, serve, ask."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export
from plurality.core.rows import PreferenceRow
from plurality.evaluation.figures import SliceFigures, slice_figures
from plurality.evaluation.plots import plot_agreement
from plurality.evaluation.predict import Predictions, predict
from plurality.evaluation.sample import make_sample, slices
from plurality.synthetic.ask import ask
from plurality.synthetic.baselines import bag_of_words_accuracy, length_only_accuracy
from plurality.synthetic.encoder import DEMO_MODEL, resolve_model
from plurality.synthetic.generate import DemoData, DemoDataConfig, generate, write_jsonl
from plurality.training.config import TrainConfig
from plurality.training.load import load_rows
from plurality.training.objectives import Objective
from plurality.training.train import train
from plurality.training.trainer import last_checkpoint
from service.bundle.open import load_model
from service.bundle.pointer import DEFAULT_ALIAS, read_pointer
from service.bundle.store import version_directory

MODELS: Mapping[str, Objective] = {"demo-baseline": "baseline", "demo-margin": "margin"}
KINDS = ("objective", "subjective", "all")
_RECIPE = {"epochs": 2.0, "batch_size": 16, "learning_rate": 1e-4, "freeze_layers": 3, "max_length": 256}
"""One recipe for both objectives: a comparison of objectives must change nothing else."""


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """Where the demo keeps its things."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def report(self) -> Path:
        return self.root / "report"

    def checkpoint(self, name: str) -> Path:
        return self.root / "checkpoints" / name


def run_demo(root: Path, *, seed: int, say: Callable[[str], None]) -> None:
    """Run every step; what an earlier run finished with the same seed is kept."""
    paths = DemoPaths(root)
    started = time.monotonic()
    data = _make_data(paths, seed, say)
    for name, objective in MODELS.items():
        _train(paths, name, objective, seed, say)
    for name in MODELS:
        _export(paths, name, say)
    rows = load_rows(paths.data / "test.jsonl")
    _evaluate(paths, rows, data, say)
    ask(paths.store, list(MODELS), rows, say)
    say(f"\nall of it took {time.monotonic() - started:.0f} s; everything is in {root}")
    say(f"next: plurality serve --store {paths.store}   (or `make serve`), then open /docs")


def _make_data(paths: DemoPaths, seed: int, say: Callable[[str], None]) -> DemoData:
    config = DemoDataConfig(seed=seed)
    data = generate(config)
    write_jsonl(data, paths.data)
    say(
        f"1. data: {len(data.train)} pairs to train, {len(data.validation)} to calibrate, {len(data.test)} to test, "
        f"{config.judgements} judgements each, of a simulated population whose true preference is known"
    )
    return data


def _train(paths: DemoPaths, name: str, objective: Objective, seed: int, say: Callable[[str], None]) -> None:
    output = paths.checkpoint(name)
    if (output / "plurality.json").exists():
        say(f"2. {name}: trained already")
        return
    say(f"2. training {name}")
    config = TrainConfig.model_validate(
        _RECIPE
        | {
            "model": resolve_model(DEMO_MODEL),
            "data": paths.data / "train.jsonl",
            "validation": paths.data / "validation.jsonl",
            "output": output,
            "objective": objective,
            "seed": seed,
            "resume": last_checkpoint(output) is not None,
        }
    )
    result = train(config, say=say)
    say(f"   {result.steps} steps in {result.seconds:.0f} s, validation accuracy {result.validation['accuracy']:.3f}")


def _export(paths: DemoPaths, name: str, say: Callable[[str], None]) -> None:
    if (paths.store / name / "pointer.json").exists():
        say(f"3. {name}: published already")
        return
    say(f"3. exporting {name}")
    held_out = load_rows(paths.data / "validation.jsonl")
    checkpoint = open_checkpoint(str(paths.checkpoint(name)))
    for entry in export(checkpoint, Target(paths.store, name), held_out=held_out, say=say):
        say(f"   published {name}@{entry.digest[:12]} as {', '.join(entry.aliases)}")


def _evaluate(paths: DemoPaths, rows: list[PreferenceRow], data: DemoData, say: Callable[[str], None]) -> None:
    say(f"4. held-out test: {len(rows)} pairs on prompts that no model has seen")
    predictions = {name: _predict(paths, name, rows) for name in MODELS}
    scores = {name: scores_by_kind(rows, p) for name, p in predictions.items()}
    for line in _table(scores):
        say(line)
    trivial = {
        "length alone": length_only_accuracy(data.train, data.test),
        "bag of words": bag_of_words_accuracy(data.train, data.test),
    }
    for text, accuracy in trivial.items():
        say(f"   for comparison, {text}: accuracy {accuracy.majority:.3f} against the majority")
    paths.report.mkdir(parents=True, exist_ok=True)
    plot_agreement(rows, predictions, paths.report / "agreement.png")
    (paths.report / "scores.json").write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    say(f"   plot: {paths.report / 'agreement.png'}")


def _predict(paths: DemoPaths, name: str, rows: list[PreferenceRow]) -> Predictions:
    digest = read_pointer(paths.store / name).aliases[DEFAULT_ALIAS]
    model = load_model(version_directory(paths.store, name, digest))
    with closing(model.backend):
        return predict(model, rows)


def scores_by_kind(rows: list[PreferenceRow], predictions: Predictions) -> dict[str, dict[str, float | int | None]]:
    """Of each kind of question, and of all: how well the calibrated probability predicts people."""
    sample = make_sample(rows)
    entries = {entry.name.lower(): entry for entry in slices(sample) if entry.group != "source"}
    return {kind: _plain(slice_figures(sample, entries[kind], predictions.calibrated, None)) for kind in KINDS}


def _plain(found: SliceFigures) -> dict[str, float | int | None]:
    people, labels = found.people, found.labels
    return {
        "pairs": found.pairs,
        "accuracy": people["majority_accuracy"].estimate,
        "label_accuracy": labels["accuracy"].estimate,
        "pearson": people["pearson"].estimate,
        "l1": people["l1"].estimate,
        "ece": labels["ece"].estimate,
        "ece_noise_floor": found.noise_floor.mean,
    }


def _table(scores: Mapping[str, Mapping[str, Mapping[str, float | int | None]]]) -> list[str]:
    widths = {"accuracy": 9, "label_accuracy": 9, "pearson": 9, "l1": 7, "ece": 7, "ece_noise_floor": 9}
    lines = [
        f"   {'':<12}{'':<16}{'accuracy':>9}{'(label)':>9}{'Pearson':>9}{'L1':>7}{'ECE':>7}{'(floor)':>9}{'pairs':>7}"
    ]
    for kind in KINDS:
        for name, kinds in scores.items():
            entry = kinds[kind]
            cells = "".join(f"{_figure(entry[column]):>{width}}" for column, width in widths.items())
            lines.append(f"   {kind:<12}{name:<16}{cells}{entry['pairs']:>7}")
    lines.append(
        "   accuracy: against the population's majority; (label): one annotator; Pearson, L1: P to p*; ECE: P to labels"
    )
    return lines


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
