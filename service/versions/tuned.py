"""Loads a version with its profile: read from the cache folder, or measured now and written there.

The cache is optional: a folder that cannot be written or a record that cannot be read costs a measurement.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError

from service.bundle.files import replace_file
from service.bundle.formats import Closed
from service.bundle.manifest import Manifest
from service.bundle.open import MODEL_FILE, LoadedModel, open_model
from service.bundle.store import VerifiedFiles
from service.engine.backend import DualSessionBackend
from service.engine.machine import cores, fingerprint
from service.engine.policy import BatchLimits, Cell, CostModel, Policy
from service.engine.profile import Profile, Shape, fastest_split, measure_cells
from service.settings import Settings
from service.telemetry.logs import get_logger

_BUDGET_S = {"cpu": 1.2, "gpu": 6.0}
"""For the cells; the race of workers x threads on a CPU takes what remains of two seconds."""
_CELL_TOKENS_ON_CPU = 2048
"""Larger batches never pay on a CPU, and would use up the budget."""
_RACE_LIMIT_BYTES = 2**30
"""Larger models get one worker with all threads: a second session costs memory and seconds."""
_MEASUREMENT = 1
"""Raise it when what is measured, or how the engine is opened, changes: older records are then measured again."""
_GPU_WORKERS = 2
"""One prepares the next batch while the other's runs."""
_log = get_logger(__name__)
Count = Annotated[int, Field(ge=1, le=2**20)]
Seconds = Annotated[float, Field(gt=0)]


class ProfileRecord(Closed):
    """A profile on disk."""

    workers: Count
    threads: Count
    single: tuple[tuple[Count, Seconds], ...] = Field(min_length=1)
    """(tokens, seconds) of single texts."""
    batches: tuple[tuple[Count, Count, Seconds], ...]
    """(items, tokens, seconds)."""

    @classmethod
    def of(cls, profile: Profile) -> Self:
        """The record of a profile."""
        single = tuple((cell.tokens, cell.seconds) for cell in profile.cells if cell.items == 1)
        batches = tuple((cell.items, cell.tokens, cell.seconds) for cell in profile.cells if cell.items > 1)
        return cls(workers=profile.workers, threads=profile.threads, single=single, batches=batches)

    def profile(self) -> Profile:
        """The profile of a record."""
        cells = [Cell(1, *entry) for entry in self.single] + [Cell(*entry) for entry in self.batches]
        return Profile(self.workers, self.threads, tuple(cells))


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A version, open with the threads of its profile."""

    model: LoadedModel
    profile: Profile


def load_tuned(files: VerifiedFiles, settings: Settings, *, same_shape_profile: Profile | None = None) -> TunedModel:
    """Open a version with its profile on this machine. Blocking; the first time takes seconds longer.

    Args:
        same_shape_profile: of a version of the same shape that is serving now. It holds for this one too, and
            measuring would take the cores from that version. It is not cached: the next start measures.

    Raises:
        BundleRejected, ConfigurationError: as `open_model`; nothing stays open.
    """
    path = _record_path(files.digest, settings)
    if profile := _read(path) or same_shape_profile:
        model = _open(files, settings, profile.threads)
    else:
        model, profile = _measure(files, settings)
        _write(path, profile)
    if profile.workers > 1 and _may_open_second(settings):
        model = _with_low_latency_session(model, files, settings)
    return TunedModel(model, profile)


def same_shape(one: Manifest, other: Manifest) -> bool:
    """Whether two versions cost the same: of one model, and their weights and inputs of one size."""
    return _shape_key(one) == _shape_key(other)


def _shape_key(manifest: Manifest) -> tuple[object, ...]:
    weights = sorted((entry.name, entry.size) for entry in manifest.files if entry.name.startswith(MODEL_FILE))
    return manifest.model, manifest.precision, manifest.input_format.max_length, weights


def largest_batch(manifest: Manifest, settings: Settings) -> int:
    """The largest batch of this version.

    Dynamic int8 scales activations by tensor, so a text's reward would depend on its batch-mates: one a call.
    """
    return 1 if manifest.precision == "int8" else settings.batching.max_items


def batch_policy(manifest: Manifest, profile: Profile, settings: Settings) -> Policy:
    """The batching policy of this version on this machine."""
    batching = settings.batching
    limits = BatchLimits(largest_batch(manifest, settings), batching.max_tokens)
    longest = manifest.input_format.max_length
    cost = CostModel(profile.cells, max_items=limits.max_items, max_tokens=longest)
    return Policy(limits, cost, batching.scheduler, batching.ageing_s)


def _open(files: VerifiedFiles, settings: Settings, threads: int) -> LoadedModel:
    return open_model(files, device=settings.runtime.device, threads=threads)


def _may_open_second(settings: Settings) -> bool:
    fixed = settings.runtime.threads or settings.batching.workers or settings.runtime.device != "cpu"
    return settings.runtime.low_latency_session and not fixed


def _with_low_latency_session(model: LoadedModel, files: VerifiedFiles, settings: Settings) -> LoadedModel:
    """Add a second engine session on all cores, for calls that are alone. Holds the weights twice."""
    try:
        low_latency = _open(files, settings, _cores(settings))
    except BaseException:
        model.backend.close()
        raise
    return replace(model, backend=DualSessionBackend(model.backend, low_latency.backend))


def _measure(files: VerifiedFiles, settings: Settings) -> tuple[LoadedModel, Profile]:
    first, *others = _thread_counts(files, settings)
    models = {first: _open(files, settings, first)}
    try:
        shape = _shape(models[first].manifest, settings)
        for threads in others:
            models[threads] = _open(files, settings, threads)
        workers, threads = _split(models, shape, settings)
        chosen = models.pop(threads)
    finally:
        for model in models.values():
            model.backend.close()
    started = time.perf_counter()
    budget = _BUDGET_S["cpu" if settings.runtime.device == "cpu" else "gpu"]
    try:
        cells = measure_cells(chosen.backend, shape, budget_s=budget)
    except BaseException:
        chosen.backend.close()
        raise
    seconds = round(time.perf_counter() - started, 2)
    _log.info(
        "profiled", version=files.digest[:12], workers=workers, threads=threads, cells=len(cells), seconds=seconds
    )
    return chosen, Profile(workers, threads, cells)


def _split(models: dict[int, LoadedModel], shape: Shape, settings: Settings) -> tuple[int, int]:
    if len(models) > 1:
        return fastest_split({threads: model.backend for threads, model in models.items()}, _cores(settings), shape)
    [threads] = models
    return settings.batching.workers or (1 if settings.runtime.device == "cpu" else _GPU_WORKERS), threads


def _thread_counts(files: VerifiedFiles, settings: Settings) -> Sequence[int]:
    """Numbers of threads to try for an engine call; one if the settings or the model's size leave no choice."""
    available = _cores(settings)
    if settings.runtime.threads:
        return [settings.runtime.threads]
    if settings.batching.workers:
        return [max(1, available // settings.batching.workers)]
    if settings.runtime.device != "cpu" or _size(files) > _RACE_LIMIT_BYTES:
        return [available]
    return sorted({available, max(1, available // 4), 1}, reverse=True)


def _cores(settings: Settings) -> int:
    return settings.runtime.cores or cores()


def _size(files: VerifiedFiles) -> int:
    return sum(len(data) for name, data in files.contents.items() if name.startswith(MODEL_FILE))


def _shape(manifest: Manifest, settings: Settings) -> Shape:
    limit = settings.batching.max_tokens
    return Shape(
        max_items=largest_batch(manifest, settings),
        max_length=manifest.input_format.max_length,
        max_tokens=min(limit, _CELL_TOKENS_ON_CPU) if settings.runtime.device == "cpu" else limit,
        token_id=manifest.golden[0].token_ids[0],
    )


def _record_path(digest: str, settings: Settings) -> Path:
    machine = fingerprint(
        measurement=_MEASUREMENT,
        device=settings.runtime.device,
        cores=_cores(settings),
        threads=settings.runtime.threads,
        workers=settings.batching.workers,
        max_items=settings.batching.max_items,
        max_tokens=settings.batching.max_tokens,
    )
    return settings.cache_dir / "profiles" / f"{digest[:32]}-{machine}.json"


def _read(path: Path) -> Profile | None:
    try:
        return ProfileRecord.model_validate_json(path.read_bytes()).profile()
    except FileNotFoundError:
        pass
    except (OSError, ValidationError) as error:
        _log.warning("profile_unreadable", path=str(path), error=type(error).__name__)
    return None


def _write(path: Path, profile: Profile) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, ProfileRecord.of(profile).model_dump_json().encode())
    except OSError as error:
        _log.warning("profile_not_kept", path=str(path), error=error.strerror)
