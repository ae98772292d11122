"""A set's records, from the hub or from local copies."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plurality.training.errors import TrainingError
from plurality.training.load import file_digest
from plurality.training.loaders.collect import Record
from plurality.training.loaders.files import SUFFIXES, read_records
from plurality.training.loaders.hub import Hub, fetch
from plurality.training.loaders.registry import DataSet


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to read from; whatever is not given is taken from the registry."""

    files: tuple[Path, ...] = ()
    """Local copies of the set's own records."""
    test_files: tuple[Path, ...] = ()
    """Local copies of its official test split."""
    hub_train: str | None = None
    hub_test: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """The records read from a data set, and their description."""

    pool: list[Record]
    """To be split."""
    test: list[Record]
    """The official test split; empty where there is none."""
    description: dict[str, Any]
    """For the card: hub id and splits, or files with their digests."""


def read(dataset: DataSet, origin: Origin) -> Source:
    """The records of a set.

    Raises:
        TrainingError: they cannot be had; says what to download, and where to put it.
        DataError: lines of a file that are no records.
    """
    if origin.files:
        return _local(origin)
    if origin.test_files:
        raise TrainingError("--test-from needs --from: give the training records as a file too")
    if dataset.origin is not None:
        return _from_hub(dataset, dataset.origin, origin)
    raise TrainingError(
        f"{dataset.name} needs --from FILE ({', '.join(SUFFIXES)}); for a set of the hub give its ORG/NAME as the name"
    )


def _local(origin: Origin) -> Source:
    pool = [record for path in origin.files for record in read_records(path)]
    test = [record for path in origin.test_files for record in read_records(path)]
    described = [{"file": path.name, "sha256": file_digest(path)} for path in origin.files]
    official = [{"file": path.name, "sha256": file_digest(path)} for path in origin.test_files]
    return Source(pool, test, {"files": described, "test_files": official})


def _from_hub(dataset: DataSet, hub: Hub, origin: Origin) -> Source:
    hub = replace(hub, train=origin.hub_train or hub.train, test=origin.hub_test or hub.test)
    cure = (
        f"Without a hub: on a machine that has one, download the data files of {hub.name}, copy them here, and run "
        f"`plurality data prepare {dataset.name} --from FILE` (its own records, {', '.join(SUFFIXES)})"
        + (f", with --test-from for its split {hub.test}." if hub.test else ".")
    )
    pool = fetch(hub, hub.train, cure=cure)
    test = fetch(hub, hub.test, cure=cure) if hub.test else []
    return Source(pool, test, {"hub": hub.name, "split": hub.train, "test_split": hub.test})
