"""Builds the manifest of a version: reward statistics, golden inputs, digests."""

import datetime
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_export.checkpoint import Checkpoint
from model_export.int8 import INT8
from service.bundle.manifest import (
    Calibration,
    Fidelity,
    FileEntry,
    Golden,
    Manifest,
    Precision,
    Provenance,
    RewardStatistics,
    Turn,
)
from service.domain import Encoding, ScoreItem

GOLDEN_COUNT = 12
_GOLDEN_LONGEST = 400
"""Characters; golden inputs travel in the manifest."""
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_GOLDEN_TOLERANCE: Mapping[Precision, float] = {"fp32": 1e-4, "fp16": 0.05, "int8": 0.1}
"""Of a golden reward, relative to the rewards' standard deviation, or to 1 if that is more. Kernels differ: int8
where a value lies between two of its steps (at most 0.038 between three x86 kernels, ADR 0011); fp16 is exported on a
CPU, which rounds less often than the GPU that serves it (seen on random weights: 0.026 from torch). A foreign
tokenizer or other weights are off by far more."""


@dataclass(frozen=True, slots=True)
class Version:
    """Everything that differs from one version of a model to the next."""

    precision: Precision
    center: float
    calibration: Calibration | None
    statistics: RewardStatistics
    golden: tuple[Golden, ...]
    fidelity: Fidelity
    files: Mapping[str, Path | bytes]


def reward_statistics(rewards: NDArray[np.float64]) -> RewardStatistics:
    """Of centered rewards, shape [N]."""
    quantiles = np.quantile(rewards, _QUANTILES)
    return RewardStatistics(
        count=len(rewards),
        mean=float(rewards.mean()),
        std=float(rewards.std()),
        quantiles={f"{q:g}": float(value) for q, value in zip(_QUANTILES, quantiles, strict=True)},
    )


def golden_inputs(
    items: Sequence[ScoreItem], encodings: Sequence[Encoding], rewards: NDArray[np.float64]
) -> tuple[Golden, ...]:
    """Items spread evenly over the range of rewards, short enough for a manifest."""
    short = [i for i, item in enumerate(items) if item.characters <= _GOLDEN_LONGEST] or [0]
    ranked = sorted(short, key=lambda i: rewards[i])
    chosen = [ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, min(GOLDEN_COUNT, len(ranked)))]
    return tuple(_golden(items[i], encodings[i], float(rewards[i])) for i in dict.fromkeys(chosen))


def _golden(item: ScoreItem, encoding: Encoding, reward: float) -> Golden:
    prompt = item.prompt
    turns = prompt if isinstance(prompt, str) else tuple(Turn(role=t.role, content=t.content) for t in prompt)
    return Golden(prompt=turns, response=item.response, token_ids=encoding.ids, reward=reward)


def build_manifest(
    checkpoint: Checkpoint, version: Version, *, name: str, sequence: int, parent: str | None
) -> Manifest:
    """The manifest of a version that was just exported."""
    return Manifest(
        model=name,
        sequence=sequence,
        parent=parent,
        created=now(),
        objective=checkpoint.record.objective,
        precision=version.precision,
        quantization=INT8 if version.precision == "int8" else None,
        input_format=checkpoint.format,
        center=version.center,
        calibration=version.calibration,
        reward_statistics=version.statistics,
        golden=version.golden,
        golden_tolerance=_GOLDEN_TOLERANCE[version.precision] * max(1.0, version.statistics.std),
        fidelity=version.fidelity,
        evaluation={},
        provenance=Provenance(
            source=checkpoint.source,
            plurality_version=importlib.metadata.version("plurality"),
            training=checkpoint.record.training,
            data_sha256=checkpoint.record.data_sha256,
        ),
        files=tuple(file_entry(file, content) for file, content in sorted(version.files.items())),
    )


def now() -> str:
    """The time of a manifest: UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def file_entry(name: str, content: Path | bytes) -> FileEntry:
    """Size and digest of a file to be published."""
    if isinstance(content, bytes):
        return FileEntry(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileEntry(name=name, size=content.stat().st_size, sha256=digest)
