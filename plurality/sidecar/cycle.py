"""One cycle: collect, train, export, evaluate, publish. Each step leaves a file; a killed cycle goes on where it was.

cycles/0007/request.json     which votes, and the version that was running
            train|calibrate|evaluate.jsonl
            checkpoint/      the training run, resumable by itself
            exported.json    the version in the store that no alias names yet
            report.json      every gate with its reason; the end of the cycle
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from model_export.checkpoint import TRAINING_RECORD, open_checkpoint
from model_export.errors import ExportError
from model_export.pipeline import Target, export
from plurality.core.rows import PreferenceRow
from plurality.evaluation.predict import predict
from plurality.sidecar.collect import Collected, collect
from plurality.sidecar.config import SidecarConfig
from plurality.sidecar.files import read_record, write_record
from plurality.sidecar.gates import Evidence, Gate, evaluate, figures
from plurality.sidecar.promotion import retry_while_busy
from plurality.sidecar.telemetry import Telemetry
from plurality.training.config import TrainConfig
from plurality.training.load import load_rows
from plurality.training.train import train
from plurality.training.trainer import last_checkpoint
from service.bundle.open import load_model
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import version_directory
from service.errors import BundleRejected

Outcome = Literal["published", "refused", "failed"]
REQUEST, EXPORTED, REPORT = "request.json", "exported.json", "report.json"


@dataclass(frozen=True, slots=True)
class Cycle:
    """One cycle: its folder, the votes it trains on and the version it starts from."""

    folder: Path
    cursor: int
    """Row number of the newest vote that it trains on."""
    parent: str
    """Digest of the version that was running."""
    model: str
    """The checkpoint that training starts from: the parent's."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a cycle ended."""

    outcome: Outcome
    digest: str | None
    gates: tuple[Gate, ...]
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Of both versions on the held-out pairs."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Reasons of the gates that failed."""
        return tuple(f"{gate.name}: {gate.reason}" for gate in self.gates if not gate.passed)


def run_cycle(
    cycle: Cycle,
    config: SidecarConfig,
    votes: Callable[[], Iterable[PreferenceRow]],
    telemetry: Telemetry,
    say: Callable[[str], None],
) -> Ended:
    """Run a cycle, or resume one that was interrupted.

    Args:
        votes: the rows up to the cycle's cursor.

    Raises:
        StoreBusy: another process writes the model for longer than a minute; the rest of the cycle can be run later.
        PluralityError: what made the cycle fail; nothing was published.
    """
    with telemetry.phase("collect"):
        data = collect(
            cycle.folder, votes(), base=config.base_data, held_out=config.held_out, share=config.held_out_share
        )
    with telemetry.phase("train"):
        checkpoint = _train(cycle, config, data, say)
    try:
        with telemetry.phase("export"):
            digest = _export(cycle, config, checkpoint, data, say)
    except (ExportError, BundleRejected) as error:
        return Ended("refused", None, (Gate("export", passed=False, reason=error.message),))
    with telemetry.phase("evaluate"):
        evidence = _evidence(config, data, cycle.parent, digest)
        gates = evaluate(evidence, config.gates)
    if not all(gate.passed for gate in gates):
        return Ended("refused", digest, tuple(gates), figures(evidence))
    with telemetry.phase("publish"):
        retry_while_busy(lambda: _name(config, digest))
    return Ended("published", digest, tuple(gates), figures(evidence))


def _name(config: SidecarConfig, digest: str) -> None:
    with writer(config.store, config.name) as directory:
        set_aliases(directory, {config.candidate: digest})


def _train(cycle: Cycle, config: SidecarConfig, data: Collected, say: Callable[[str], None]) -> Path:
    output = cycle.folder / "checkpoint"
    if (output / TRAINING_RECORD).exists():
        return output
    settings = TrainConfig.model_validate(
        {"epochs": 1.0} | config.train | {
            "model": cycle.model, "data": data.train, "validation": data.calibrate, "output": output,
            "resume": last_checkpoint(output) is not None,
        }
    )  # fmt: skip
    train(settings, say=say)
    return output


def _export(cycle: Cycle, config: SidecarConfig, checkpoint: Path, data: Collected, say: Callable[[str], None]) -> str:
    """Export the checkpoint into the store, named by no alias: servers do not load it."""
    done = read_record(cycle.folder / EXPORTED)
    if done is None:
        held_out = load_rows(data.calibrate)
        target = Target(config.store, config.name, (config.precision,), aliases=())
        source = open_checkpoint(str(checkpoint))
        (published,) = retry_while_busy(lambda: export(source, target, held_out=held_out, say=say))
        done = {"digest": published.digest}
        write_record(cycle.folder / EXPORTED, done)
    return str(done["digest"])


def _evidence(config: SidecarConfig, data: Collected, parent: str, digest: str) -> Evidence:
    rows = load_rows(data.evaluate)
    probability = []
    for version in (parent, digest):
        model = load_model(version_directory(config.store, config.name, version))
        with closing(model.backend):
            probability.append(predict(model, rows).calibrated)
    label = np.array([row.preference for row in rows])
    return Evidence(label, probability[0], probability[1], [row.source for row in rows])


def write_report(cycle: Cycle, end: Ended, *, ended_at: float) -> None:
    """Write the record that ends a cycle, atomically."""
    write_record(
        cycle.folder / REPORT,
        {
            "outcome": end.outcome,
            "version": end.digest,
            "parent": cycle.parent,
            "gates": [asdict(gate) for gate in end.gates],
            "figures": {name: dict(found) for name, found in end.figures.items()},
            "ended_at": ended_at,
        },
    )
