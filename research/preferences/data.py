"""Real data, from the folder that the environment variable PREFERENCE_DATA names. None of it is part of the project."""

import os
from collections.abc import Iterable
from pathlib import Path

from plurality.training.loaders.collect import Loaded, Record
from plurality.training.loaders.files import read_folder
from plurality.training.loaders.registry import Folder, find
from plurality.training.split import deduplicate

VARIABLE = "PREFERENCE_DATA"


class NoData(Exception):
    """The studies' data is not here; the message says how to name it."""


def root() -> Path:
    """The data's folder.

    Raises:
        NoData: the variable is not set, or names no folder.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise NoData(f"{VARIABLE} is not set: let it name the folder that holds the studies' data sets")
    if not Path(named).is_dir():
        raise NoData(f"{VARIABLE} names {named}, which is no folder")
    return Path(named)


def records(name: str) -> list[Record]:
    """The records of a set of the registry.

    Raises:
        NoData: its folder is not there.
    """
    origin = find(name).origin
    if not isinstance(origin, Folder):
        raise NoData(f"{name} is not a set of {VARIABLE}")
    folder = root() / origin.name
    if not folder.is_dir():
        raise NoData(f"{VARIABLE} has no folder {origin.name}, which {name} is read from")
    return read_folder(folder, origin.files)


def load(name: str, only: Iterable[Record] | None = None) -> Loaded:
    """A set's rows, duplicates merged."""
    loaded = find(name).rows(records(name) if only is None else only, source=name)
    loaded.rows = deduplicate(loaded.rows).rows
    return loaded
