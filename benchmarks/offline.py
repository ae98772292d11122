"""The offline limit: the same version through onnxruntime with the service's own plan, all texts known, no HTTP."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from service.bundle.store import read_verified, version_directory
from service.domain import Encoding, ScoreItem
from service.engine.backend import pad
from service.engine.policy import Policy, partition
from service.settings import read_settings
from service.versions.tuned import TunedModel, batch_policy, load_tuned


@dataclass(frozen=True, slots=True)
class Rate:
    """A measured amount of work."""

    items: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Items a second."""
        return self.items / self.wall_s

    @property
    def per_cpu_s(self) -> float:
        """Items a second of CPU time."""
        return self.items / self.cpu_s


@contextmanager
def opened(store: Path, model: str, digest: str, work: Path) -> Iterator[tuple[TunedModel, Policy]]:
    """A version with its profile, as the service would open it."""
    settings = read_settings({"store": store, "cache_dir": work / "cache", "log_level": "error"}, {})
    tuned = load_tuned(read_verified(version_directory(store, model, digest)), settings)
    try:
        yield tuned, batch_policy(tuned.model.manifest, tuned.profile, settings)
    finally:
        tuned.model.backend.close()


def planned_padding(lengths: Sequence[int], policy: Policy) -> float:
    """Share of padding in the batches that the policy makes of these texts, all of them queued."""
    ordered = sorted(lengths)
    cuts = pairwise([0, *partition(ordered, policy)])
    return 1 - sum(ordered) / sum((end - start) * ordered[end - 1] for start, end in cuts)


def offline(tuned: TunedModel, policy: Policy, items: Sequence[ScoreItem]) -> Rate:
    """Tokenize everything, cut it into the batches of least predicted time, run them on the profile's workers."""
    wall, cpu = time.perf_counter(), time.process_time()
    encoded = [entry for entry in tuned.model.tokenizer.encode(items) if isinstance(entry, Encoding)]
    encoded.sort(key=lambda entry: len(entry.ids))
    ends = partition([len(entry.ids) for entry in encoded], policy)
    batches = [encoded[start:end] for start, end in pairwise([0, *ends])]
    with ThreadPoolExecutor(tuned.profile.workers) as workers:
        # The longest first: the workers then end together.
        list(workers.map(lambda batch: tuned.model.backend.run(pad(batch, tuned.model.pad_id)), batches[::-1]))
    return Rate(len(items), time.perf_counter() - wall, time.process_time() - cpu)
