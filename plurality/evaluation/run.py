"""From names and files to results: read the pairs and the annotations, load each version, predict, make the tables."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from model_export.pairs import pairs_digest
from plurality.core.rows import PreferenceRow
from plurality.evaluation.baselines import baseline_predictions
from plurality.evaluation.predict import predict
from plurality.evaluation.report import write_report
from plurality.evaluation.sample import Slice, make_sample
from plurality.evaluation.tables import Predictor, Results, evaluate
from plurality.evaluation.votes import read_votes
from plurality.stats.paired import Resampling
from plurality.training.errors import TrainingError
from plurality.training.load import file_digest, load_rows
from service.bundle.open import LoadedModel, load_model
from service.bundle.pointer import DEFAULT_ALIAS
from service.bundle.pointer_writer import find_version
from service.bundle.store import model_names, version_directory
from service.errors import UnknownModel
from service.telemetry.metrics import SHORT_DIGEST


@dataclass(frozen=True, slots=True)
class Question:
    """The models, data and options of an evaluation."""

    models: Sequence[str]
    """name, name@alias or name@digest; the first is the one that others are compared with."""
    store: Path
    data: Path
    votes: Path | None = None
    id_sources: Sequence[str] = ()
    report: Path | None = None
    resampling: Resampling = field(default_factory=Resampling)


def run(question: Question) -> Results:
    """Evaluate, and write the report where one is asked for.

    Raises:
        UnknownModel: the store has no such model or version.
        TrainingError: a model is named twice, or a file cannot be read.
        DataError: rows or annotations that cannot be used, each with its line.
        ExportError: a response cannot be scored.
    """
    directories = _directories(question)
    rows = load_rows(question.data)
    notes: list[str] = []
    annotations = None
    if question.votes is not None:
        votes = read_votes(question.votes, [row.id for row in rows])
        annotations, notes = votes.annotations, [f"{question.votes.name}: {note}" for note in votes.notes]
    sample = make_sample(rows, annotations=annotations, id_sources=question.id_sources)
    models = []
    for directory in directories:
        predictor, found = _predict(directory, rows)
        models.append(predictor)
        notes += found
    results = evaluate(
        sample,
        models,
        [Predictor(name, made, trivial=True) for name, made in baseline_predictions(rows).items()],
        question.resampling,
        data=_files(question),
        notes=notes,
        progress=_progress,
    )
    if question.report is not None:
        write_report(question.report, sample, models, results)
    return results


def _directories(question: Question) -> list[Path]:
    found = [_directory(question.store, name) for name in question.models]
    for index, directory in enumerate(found):
        if directory in found[:index]:
            first = question.models[found.index(directory)]
            raise TrainingError(f"{question.models[index]} is the same version as {first}: there is nothing to compare")
    return found


def _directory(store: Path, wanted: str) -> Path:
    name, _, which = wanted.partition("@")
    try:
        known = model_names(store)
    except OSError as error:
        raise TrainingError(f"cannot read the store {store}: {error.strerror}") from None
    if name not in known:
        raise UnknownModel(f"the store has no model {name!r}; it has {', '.join(known) or 'none'}")
    return version_directory(store, name, find_version(store / name, which or DEFAULT_ALIAS))


def _predict(directory: Path, rows: Sequence[PreferenceRow]) -> tuple[Predictor, list[str]]:
    """A version's predictions, and what the reader must know about it."""
    model = load_model(directory)
    with closing(model.backend):
        predictions = predict(model, rows)
    name = f"{model.manifest.model}@{model.digest[:SHORT_DIGEST]}"
    calibration = model.manifest.calibration
    notes = []
    if calibration is None:
        notes.append(f"{name} is not calibrated: its P is σ(r_a − r_b)")
    elif calibration.data_sha256 in _digests(rows):
        notes.append(f"{name} was calibrated on these very pairs: its L1, ECE, Brier and NLL flatter it")
    return Predictor(name, predictions, version=_version(model)), notes


def _digests(rows: Sequence[PreferenceRow]) -> set[str]:
    """What a calibration on these pairs would say that it was made on, pooled or by source."""
    return {pairs_digest(rows), pairs_digest(rows, sources=True)}


def _version(model: LoadedModel) -> dict[str, Any]:
    manifest = model.manifest
    calibration = manifest.calibration
    return {
        "digest": model.digest,
        "objective": manifest.objective,
        "precision": manifest.precision,
        "created": manifest.created,
        "calibration": calibration.method if calibration else None,
        "temperature": calibration.temperature if calibration else None,
    }


def _files(question: Question) -> dict[str, Any]:
    votes = question.votes
    return {
        "file": question.data.name,
        "sha256": file_digest(question.data),
        "votes": {"file": votes.name, "sha256": file_digest(votes)} if votes else None,
    }


def _progress(entries: Iterable[Slice], name: str) -> Iterable[Slice]:
    progress: Iterable[Slice] = tqdm(list(entries), desc=f"intervals: {name}", unit="slice", leave=False)
    return progress
