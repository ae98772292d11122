"""The sidecar's configuration: one TOML file, read once, frozen."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plurality.training.config import checked_config
from plurality.training.errors import TrainingError, first_problem
from service.bundle.manifest import Precision
from service.domain import ModelName

Alias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_OWN = frozenset({"data", "validation", "output", "resume", "model"})
"""Settings of training that the sidecar chooses itself."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GateConfig(_Closed):
    """Thresholds of the gates, on pairs that neither trained nor calibrated the new version."""

    min_pairs: int = Field(default=50, ge=1)
    """Fewer decide nothing: the version is refused."""
    max_accuracy_loss: float = Field(default=0.005, ge=0, le=1)
    """A larger loss refuses, unless it may be chance (McNemar's test); of all pairs, and of every source."""
    max_ece: float = Field(default=0.05, ge=0, le=1)
    """ECE beyond what the noise floor explains, unless the running version's is as large."""
    min_source_pairs: int = Field(default=30, ge=1)
    """A source with fewer pairs is reported, but has no gate."""


class SidecarConfig(_Closed):
    """The whole file. Paths are relative to its folder."""

    store: Path
    name: ModelName
    work: Path
    """The sidecar's own folder: cycles, checkpoints, reports."""
    model: str
    """Checkpoint (or hub id) that training starts from while the running version is not one of the sidecar's own."""
    feedback: str
    """Database of votes: sqlite:///... or postgresql+psycopg://..."""
    base_data: Path | None = None
    """Rows that are trained on in every cycle beside the votes, less those on held-out prompts."""
    held_out: Path | None = None
    """Rows that calibrate and evaluate every version beside the votes' own held-out share."""
    min_new_votes: int = Field(default=200, ge=1)
    """A cycle begins when so many votes have come since the last one ..."""
    every_hours: float | None = Field(default=None, gt=0)
    """... or so long after the last one, if there is any new vote at all."""
    poll_s: float = Field(default=30.0, gt=0)
    held_out_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of prompts that is never trained on: half calibrates, half evaluates."""
    candidate: Alias = "candidate"
    stable: Alias = "stable"
    precision: Precision = "fp32"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """Prometheus metrics on 127.0.0.1; 0 turns them off."""
    train: dict[str, Any] = {}
    """As the options of `plurality train`, with underscores."""
    gates: GateConfig = GateConfig()
    service: str | None = None
    """Base URL of the service whose experiment report may promote (`--promote-after-experiment`)."""
    service_key_file: Path | None = None
    """File with a bearer key of that service, where its reports need one; read at every call."""
    verdict_hours: float = Field(default=168.0, gt=0)
    """A candidate without a decision after this long stays a candidate, and the next cycle may begin."""

    @model_validator(mode="after")
    def _settings(self) -> "SidecarConfig":
        if self.candidate == self.stable:
            raise ValueError("candidate and stable are one alias: every version would go live without being compared")
        if taken := sorted(_OWN & self.train.keys()):
            raise ValueError(f"[train] {taken[0]} is chosen by the sidecar itself: leave it out")
        return self


def read_config(path: Path) -> SidecarConfig:
    """Read and check the file.

    Raises:
        TrainingError: no such file, not TOML, or the first setting that cannot be, by its name.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path.name} is not TOML: {error}") from None
    try:
        config = SidecarConfig.model_validate(raw)
    except ValidationError as error:
        raise TrainingError(f"{path.name}: {first_problem(error)}") from None
    checked_config(model=config.model, data=path, output=path, **config.train)
    return _absolute(config, path.resolve().parent)


def _absolute(config: SidecarConfig, folder: Path) -> SidecarConfig:
    paths = {
        name: folder / value
        for name in ("store", "work", "base_data", "held_out", "service_key_file")
        if (value := getattr(config, name)) is not None
    }
    local = folder / config.model
    model = {"model": str(local)} if local.is_dir() else {}
    return config.model_copy(update=paths | model | {"feedback": _absolute_url(config.feedback, folder)})


def _absolute_url(url: str, folder: Path) -> str:
    """A SQLite file's URL with its whole path; others as they are."""
    kind, mark, name = url.partition(":///")
    return f"{kind}{mark}{folder / name}" if kind.startswith("sqlite") and name and name != ":memory:" else url
