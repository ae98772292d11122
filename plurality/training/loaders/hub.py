"""Records from the Hugging Face hub, through `datasets`, imported only here and only when asked."""

from dataclasses import dataclass, field
from typing import Any

from plurality.training.errors import TrainingError
from plurality.training.loaders.collect import Record

PARQUET = "refs/convert/parquet"
"""The hub's own conversion: `datasets` 4 and newer no longer runs the scripts that some sets come with."""


@dataclass(frozen=True, slots=True)
class Hub:
    """Where a set is on the hub."""

    id: str
    config: str | None = None
    train: str = "train"
    """The hub's split that is divided into our train, validation and, where `test` is None, test."""
    test: str | None = None
    """The hub's split that is our test, whole: test pairs never come from train."""
    data_dir: str | None = None
    revision: str | None = None
    data_files: dict[str, str] = field(default_factory=dict)
    """Split -> files, where the hub cannot tell by itself."""

    @property
    def name(self) -> str:
        """How messages and cards call it."""
        parts = [self.config, self.data_dir, self.revision]
        return " ".join([self.id, *(part for part in parts if part)])


def fetch(hub: Hub, split: str, *, cure: str = "") -> list[Record]:
    """One split of a set, through the cache of `datasets`.

    Raises:
        TrainingError: the hub does not answer or does not have it; says what to do without a hub.
    """
    from datasets import load_dataset  # noqa: PLC0415 - slow, and only this needs it

    options: dict[str, Any] = {"name": hub.config, "data_dir": hub.data_dir, "revision": hub.revision, "split": split}
    if hub.data_files and split not in hub.data_files:
        raise TrainingError(f"{hub.name} has no split {split!r}; it has {', '.join(hub.data_files)}")
    if hub.data_files:
        options |= {"name": None, "data_files": {split: hub.data_files[split]}}
    try:
        data = load_dataset(hub.id, **{name: value for name, value in options.items() if value is not None})
    except Exception as error:  # noqa: BLE001 - library without error types of its own: network, hub, files, memory
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise TrainingError(
            f"cannot fetch {hub.name}, split {split} ({type(error).__name__}: {cause}). {cure}".strip()
        ) from None
    return list(data)
