"""The whole story of export: open, convert, verify, calibrate, describe, publish. And of calibrating again."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.bundle import Version, build_manifest, golden_inputs, now, reward_statistics
from model_export.checkpoint import Checkpoint
from model_export.errors import ExportError, FidelityError
from model_export.fit_calibration import Method, calibrate
from model_export.fp16 import check_range, convert_fp16
from model_export.int8 import check_products
from model_export.pairs import pair_items
from model_export.publish import next_sequence, write_version
from model_export.sample_texts import sample_items
from model_export.to_onnx import export_fp32, quantize_int8
from model_export.verify import Measured, check_fidelity, run_backend
from plurality.core.rows import PreferenceRow
from service.bundle.manifest import Calibration, Fidelity, Manifest, Precision
from service.bundle.open import MODEL_FILE, TOKENIZER_FILE, load_model, score_now
from service.bundle.pointer import DEFAULT_ALIAS
from service.bundle.pointer_writer import current_version, find_version, set_aliases, writer
from service.bundle.store import read_verified, version_directory
from service.domain import Encoding, Reward, ScoreItem
from service.engine.backend import pad
from service.engine.ort import open_session
from service.errors import BundleRejected

PARITY_TEXTS = 240
RANGE_TEXTS = 48
"""About so many, of every length, show the range of the activations."""


@dataclass(frozen=True, slots=True)
class Target:
    """The store, model name and alias to publish a version under."""

    store: Path
    name: str
    precisions: Sequence[Precision] = ("fp32", "int8")
    aliases: Sequence[str] = (DEFAULT_ALIAS,)
    """Aliases that move to the first precision; every other precision gets its own name as alias."""


@dataclass(frozen=True, slots=True)
class Published:
    """A version that is in the store."""

    digest: str
    manifest: Manifest
    aliases: tuple[str, ...] = field(default=())


def export(
    checkpoint: Checkpoint,
    target: Target,
    *,
    held_out: Sequence[PreferenceRow] = (),
    center: bool = True,
    say: Callable[[str], None] = print,
) -> list[Published]:
    """Publish a checkpoint in each precision that passes its gate.

    Args:
        held_out: labeled pairs that were not trained on: they calibrate, center and check the version. Without
            them the version is marked uncalibrated, and generated texts serve for parity and statistics.
        center: subtract the mean reward of the held-out responses, so that versions share a zero.
        say: told each step.

    Returns:
        What was published; a further precision that fails its gate is not among it, and `say` was told why.

    Raises:
        FidelityError: the first precision does not score as torch does; nothing is published.
        BundleRejected: the service's runner cannot load its file; nothing is published.
        PublishError: the store refuses.
    """
    items = [*pair_items(held_out), *sample_items(PARITY_TEXTS)]
    with tempfile.TemporaryDirectory(prefix="plurality-export-") as folder:
        say(f"exporting {checkpoint.source} to ONNX")
        files = export_fp32(checkpoint, Path(folder))
        run = _reference_run(checkpoint, items, held_out, center=center)
        versions: list[Version] = []
        for precision in target.precisions:
            try:
                chosen = _convert(checkpoint, precision, files, run)
                version = _version(checkpoint, precision, chosen, run)
            except (FidelityError, BundleRejected) as error:
                if not versions:
                    raise
                say(f"{precision} is not published: {error.message}")
                continue
            say(f"{precision}: {describe_fidelity(version.fidelity)}")
            if version.calibration:
                say(f"{precision}: {describe_calibration(version.calibration)}")
            versions.append(version)
        return _publish(checkpoint, versions, target)


@dataclass(frozen=True, slots=True)
class _ReferenceRun:
    """The texts of an export, and what torch says of them. The held-out pairs come first: a, b, a, b, ..."""

    items: Sequence[ScoreItem]
    encodings: Sequence[Encoding]
    logits: NDArray[np.float64]
    held_out: Sequence[PreferenceRow]
    center: float


def _reference_run(
    checkpoint: Checkpoint, items: Sequence[ScoreItem], held_out: Sequence[PreferenceRow], *, center: bool
) -> _ReferenceRun:
    encodings = checkpoint.encode(items)
    logits = np.array(checkpoint.logits(encodings, double=True))
    mean = float(logits[: 2 * len(held_out)].mean()) if held_out and center else 0.0
    return _ReferenceRun(items, encodings, logits, held_out, mean)


def _convert(checkpoint: Checkpoint, precision: Precision, fp32: Sequence[Path], run: _ReferenceRun) -> Sequence[Path]:
    """The files of a precision, made from the fp32 files, beside them."""
    source = _model_file(fp32)
    folder = source.parent.parent
    if precision == "int8":
        files = quantize_int8(source, folder)
        check_products(_model_file(files))
        return files
    if precision == "fp16":
        files = convert_fp16(source, folder)
        longest_last = sorted(run.encodings, key=lambda entry: len(entry.ids))
        spread = longest_last[:: max(1, len(longest_last) // RANGE_TEXTS)]
        check_range(source, _model_file(files), [pad([entry], checkpoint.format.pad_id) for entry in spread])
        return files
    return fp32


def _version(checkpoint: Checkpoint, precision: Precision, files: Sequence[Path], run: _ReferenceRun) -> Version:
    """Run the file, check it, calibrate on its own rewards."""
    external = {path.name: path.read_bytes() for path in files if path.name != MODEL_FILE}
    model = _model_file(files).read_bytes()
    with closing(open_session(model, external=external, device="cpu", threads=None)) as backend:
        logits = run_backend(backend, run.encodings, checkpoint.format.pad_id, alone=precision == "int8")
    labels = np.array([row.preference for row in run.held_out])
    fidelity = check_fidelity(Measured(run.logits, logits, labels), precision)
    rewards = logits - run.center
    known = rewards[: 2 * len(run.held_out)] if run.held_out else rewards
    tokenizer = checkpoint.tokenizer.tokenizer.to_str().encode()
    return Version(
        precision=precision,
        center=run.center,
        calibration=calibrate(known, run.held_out) if run.held_out else None,
        statistics=reward_statistics(known),
        golden=golden_inputs(run.items, run.encodings, rewards),
        fidelity=fidelity,
        files={TOKENIZER_FILE: tokenizer, **{path.name: path for path in files}},
    )


def _publish(checkpoint: Checkpoint, versions: Sequence[Version], target: Target) -> list[Published]:
    published: list[Published] = []
    with writer(target.store, target.name) as directory:
        for place, version in enumerate(versions):
            parent = current_version(directory, DEFAULT_ALIAS)
            manifest = build_manifest(
                checkpoint, version, name=target.name, sequence=next_sequence(directory), parent=parent
            )
            digest = write_version(directory, manifest, version.files)
            aliases = tuple(target.aliases) if place == 0 else (version.precision,)
            published.append(Published(digest, manifest, aliases))
        set_aliases(directory, {alias: entry.digest for entry in published for alias in entry.aliases})
    return published


def recalibrate(
    store: Path,
    name: str,
    which: str,
    held_out: Sequence[PreferenceRow],
    *,
    alias: str | None,
    method: Method = "auto",
    per_source: bool = False,
) -> Published:
    """Publish a new version of the same weights with a calibration fitted on these pairs.

    Args:
        which: alias or digest of the version to start from.
        method: see `calibrate`; so is `per_source`.
        alias: moved to the new version; None leaves every alias where it is.

    Raises:
        ExportError: an item cannot be scored, or the pairs cannot fix a temperature.
    """
    with writer(store, name) as directory:
        digest = find_version(directory, which)
        source = version_directory(store, name, digest)
        model = load_model(source)
        with closing(model.backend):
            outcomes = score_now(model, pair_items(held_out))
        rewards = np.array([outcome.value for outcome in outcomes if isinstance(outcome, Reward)])
        if len(rewards) != len(outcomes):
            raise ExportError(f"{len(outcomes) - len(rewards)} responses cannot be scored; remove them first")
        manifest = model.manifest.model_copy(
            update={
                "calibration": calibrate(rewards, held_out, method=method, per_source=per_source),
                "sequence": next_sequence(directory),
                "parent": digest,
                "created": now(),
            }
        )
        new = write_version(directory, manifest, dict(read_verified(source).contents))
        if alias:
            set_aliases(directory, {alias: new})
        return Published(new, manifest, (alias,) if alias else ())


def describe_fidelity(fidelity: Fidelity) -> str:
    """One line for people."""
    accuracy = "" if fidelity.accuracy_change is None else f", accuracy {fidelity.accuracy_change:+.4f}"
    change = fidelity.max_probability_change
    probability = "" if change is None else f", max |ΔP| {change:.2g}"
    return (
        f"against {fidelity.reference} on {fidelity.texts} texts: max |Δ| {fidelity.max_abs_difference:.2g}, "
        f"Spearman {fidelity.spearman:.5f}{probability}{accuracy}"
    )


def describe_calibration(calibration: Calibration) -> str:
    """One line for people."""
    before, after = calibration.before, calibration.after
    how = {
        "temperature": f"temperature {calibration.temperature:.3f}",
        "power": f"power {calibration.exponent or 1:.2f}",
        "isotonic": f"isotonic, {len(calibration.knots)} knots",
    }[calibration.method]
    own = f", {len(calibration.sources)} sources with their own" if calibration.sources else ""
    return (
        f"{how}{own} on {calibration.pairs} held-out pairs: "
        f"ECE {before.ece:.3f} -> {after.ece:.3f} (noise floor {calibration.ece_noise_floor:.3f}), "
        f"Brier {before.brier:.3f} -> {after.brier:.3f}, NLL {before.nll:.3f} -> {after.nll:.3f}"
    )


def _model_file(files: Sequence[Path]) -> Path:
    return next(path for path in files if path.name == MODEL_FILE)
