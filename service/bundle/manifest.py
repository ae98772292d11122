"""The manifest: everything a model version states about itself. Closed schema, named limits.

`docs/manifest.schema.json` is generated from this file (`python -m service.bundle.manifest`) and checked in a test.
"""

import json
import sys
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from service.bundle.calibrate import UNCALIBRATED, Calibrator
from service.bundle.formats import Closed, InputFormat, TokenId
from service.domain import ModelName, UpstreamKind
from service.errors import BundleRejected

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_FILE_BYTES = 256 * 2**30

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Precision = Literal["fp32", "fp16", "int8"]


class FileEntry(Closed):
    """One file of the bundle; the list is complete, a file that is not listed makes the bundle invalid."""

    name: FileName
    size: int = Field(ge=0, le=MAX_FILE_BYTES)
    sha256: Digest


class CurveBin(Closed):
    """A point of a reliability diagram."""

    probability: float = Field(ge=0, le=1)
    """Mean P."""
    share: float = Field(ge=0, le=1)
    """Mean label."""
    count: int = Field(gt=0)
    """Every pair counts twice, once each way round: the curve is two-sided."""


class CalibrationQuality(Closed):
    """Held-out probability quality, before or after calibration (natural log; ECE two-sided, 10 uniform bins)."""

    ece: float
    brier: float
    nll: float
    curve: tuple[CurveBin, ...] = Field(default=(), max_length=64)
    """Behind the ECE, by rising P; empty in manifests that were written before it was kept."""


CalibrationMethod = Literal["temperature", "power", "isotonic"]
Temperature = Annotated[float, Field(gt=1e-3, lt=1e6)]


class Calibration(Closed):
    """From a difference of rewards to P(a preferred); `service/bundle/calibrate.py` says what each method computes.

    No intercept: P(a,b) + P(b,a) = 1.
    """

    method: CalibrationMethod = "temperature"
    temperature: Temperature
    """T of the method; with isotonic, which has no use for it, the best T: the rewards' unit for weights and drift."""
    exponent: float | None = Field(default=None, gt=0, le=16)
    """γ of the method power."""
    knots: tuple[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(ge=0.5, le=1)]], ...] = Field(
        default=(), max_length=4096
    )
    """(|Δ|, P) of the method isotonic, both rising."""
    sources: dict[str, Temperature] = Field(default={}, max_length=1024)
    """Temperatures of single sources, by the rows' `source`; the others get `temperature`."""
    pairs: int = Field(gt=0)
    """Held-out pairs that it was fitted on."""
    data_sha256: Digest
    before: CalibrationQuality
    after: CalibrationQuality
    cross_validated_nll: dict[str, float] = Field(default={})
    """Of each method that was tried, on folds that it was not fitted on: how it was chosen."""
    ece_noise_floor: float
    """Mean ECE that a perfectly calibrated model would show on that many pairs."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.method == "power") != (self.exponent is not None) or (self.method == "isotonic") != bool(self.knots):
            raise ValueError("power has an exponent, isotonic has knots, and no other method has either")
        if any(b[0] <= a[0] or b[1] < a[1] for a, b in pairwise(self.knots)):
            raise ValueError("knots must rise: a larger difference never gives a smaller probability")
        if self.sources and self.method != "temperature":
            raise ValueError("sources have temperatures with the method temperature only")
        return self

    @cached_property
    def calibrator(self) -> Calibrator:
        """The calibration as a function."""
        return Calibrator(self.temperature, self.exponent or 1.0, self.knots, self.sources)


class RewardStatistics(Closed):
    """Centered rewards on the reference set: for whitening, drift and a shared zero."""

    count: int = Field(gt=0)
    mean: float
    std: float = Field(ge=0)
    quantiles: dict[str, float]
    """Keys `0.01 0.05 0.25 0.5 0.75 0.95 0.99`."""


class Turn(Closed):
    """A message of a golden input."""

    role: Literal["system", "user", "assistant"]
    content: str


class Golden(Closed):
    """An input whose token ids and reward are known: proves tokenizer, format and weights belong together."""

    prompt: str | tuple[Turn, ...]
    response: str
    token_ids: tuple[TokenId, ...]
    reward: float


class Quantization(Closed):
    """The quantization of an int8 file's matrices, and so the integer products that a CPU must compute exactly."""

    activations: Literal["uint8"] = "uint8"
    """Quantized at run time with one scale a tensor."""
    weights: Literal["int8"] = "int8"
    """Symmetric, with one scale an output channel."""
    largest_pair: int = Field(ge=2, le=256)
    """Bound of |w[2i]| + |w[2i+1]| in every channel: with 128 the sum of two products stays in 16 bits on every CPU."""


UNBOUNDED = Quantization(largest_pair=254)
"""Of int8 manifests that were written before weights were bounded: exact only where kernels do not saturate."""


class Fidelity(Closed):
    """The differences of this file's rewards to the checkpoint's, through the service's own tokenizer and engine."""

    texts: int = Field(gt=0)
    reference: Literal["torch", "onnx-fp32", "upstream"]
    """`upstream`: the server itself, asked again in another batch."""
    max_abs_difference: float
    spearman: float
    accuracy_change: float | None
    """Pairwise accuracy less the reference's, in [-1, 1]; None where no labeled pairs were at hand."""
    max_probability_change: float | None = Field(default=None, ge=0, le=1)
    """Largest change of σ(r_a − r_b), on the labeled pairs, or on consecutive texts where there are none; None in
    manifests that were written before it was measured."""


class Upstream(Closed):
    """The server that computes a version's logits, instead of a file of the bundle."""

    kind: UpstreamKind
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]{1,500}$")]
    """Where it listens; holds no credentials, for a manifest is no secret."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    """The model's name there."""


class Provenance(Closed):
    """The source, code version and training data of a version."""

    source: str
    """Checkpoint name or hub id. Never a path of somebody's machine."""
    plurality_version: str
    training: dict[str, str | int | float | bool | None]
    data_sha256: dict[str, Digest]


class Manifest(Closed):
    """The description of a model version. Its directory is named by the sha256 of this file's bytes."""

    schema_version: Literal[1] = 1
    model: ModelName
    sequence: int = Field(ge=1)
    parent: Digest | None
    created: str
    objective: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+_-]{0,31}$")]
    precision: Precision | Literal["upstream"]
    quantization: Quantization | None = None
    """Of an int8 version; None: not quantized, or an int8 version of weights without a bound."""
    upstream: Upstream | None = None
    """Who computes the logits; None: `model.onnx`."""
    input_format: InputFormat
    center: float
    """Subtracted from the logit, so that the reference set's mean reward is 0 and versions share a zero."""
    calibration: Calibration | None
    reward_statistics: RewardStatistics
    golden: tuple[Golden, ...] = Field(min_length=1, max_length=64)
    golden_tolerance: float = Field(gt=0)
    fidelity: Fidelity
    evaluation: dict[str, float]
    provenance: Provenance
    files: tuple[FileEntry, ...] = Field(min_length=1, max_length=64)

    @property
    def calibrator(self) -> Calibrator:
        """P(a preferred) of a difference of rewards; the raw one while uncalibrated."""
        return self.calibration.calibrator if self.calibration else UNCALIBRATED

    @property
    def integer_products(self) -> Quantization | None:
        """The 8-bit arithmetic that this version needs from the machine; None where it needs none."""
        return self.quantization or (UNBOUNDED if self.precision == "int8" else None)

    def file(self, name: str) -> FileEntry:
        """The entry of a file that every bundle must have."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise BundleRejected(f"the manifest lists no {name}", reason="parse")

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces; these bytes are what the digest names."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()


def parse_manifest(data: bytes) -> Manifest:
    """Read manifest bytes; raises BundleRejected(reason="parse") with the first thing that is wrong."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise BundleRejected(f"manifest.json is {len(data)} bytes, more than {MAX_MANIFEST_BYTES}", reason="parse")
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top"
        raise BundleRejected(f"manifest.json: {first['msg']} at {where}", reason="parse") from None


def made_at(text: str) -> float | None:
    """ISO 8601 in seconds since the epoch; without a zone it is UTC. None: it is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


if __name__ == "__main__":
    schema = Manifest.model_json_schema()
    sys.stdout.write(json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
