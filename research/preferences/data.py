"""Real data, from the folder that the environment variable PREFERENCE_DATA names. None of it is part of the project."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from plurality.training.loaders import hh
from plurality.training.loaders.collect import Loaded, Record
from plurality.training.loaders.files import read_records
from plurality.training.loaders.registry import Rows
from plurality.training.split import deduplicate
from research.preferences.loaders import alpaca, coalign, dsp, finegrained, ukp, vicuna

VARIABLE = "PREFERENCE_DATA"


@dataclass(frozen=True, slots=True)
class LocalSet:
    """Where a set is under $PREFERENCE_DATA, and how its records are read."""

    rows: Rows
    folder: str
    files: tuple[str, ...]


SETS = {
    "hh-rlhf-harmless-test": LocalSet(hh.rows, "hh-rlhf-harmless-base", ("test.jsonl.gz",)),
    "dsp-helpful": LocalSet(dsp.helpful_rows, "dsp-general-preferences", ("helpful.test.json.gz",)),
    "dsp-webgpt": LocalSet(dsp.webgpt_rows, "dsp-general-preferences", ("webgpt.test.json.gz",)),
    "finegrained-qa": LocalSet(finegrained.rows, "finegrained-qa-feedback", ("dev_feedback.json.gz",)),
    "ukpconvarg1": LocalSet(ukp.rows, "ukpconvarg1", ("UKPConvArg1-full.jsonl.gz",)),
    "alpaca-eval": LocalSet(alpaca.rows, "alpaca-eval-judges", ("multi_judge_same_pairs.jsonl.gz",)),
    "alpacafarm-gpt4": LocalSet(
        alpaca.rows, "alpacafarm-crossann-gpt4-seeds",
        tuple(f"gpt4_{b}.annotations_seed{seed}.json.gz" for b in ("b1", "b5") for seed in range(4)),
    ),
    "vicuna80": LocalSet(
        vicuna.rows, "vicuna80-human-votes", ("questions.jsonl.gz", "generations.jsonl.gz", "human_votes.jsonl.gz")
    ),
    "community-alignment": LocalSet(coalign.rows, "community-alignment-pairs", ("coalign-pairs.csv.gz",)),
}  # fmt: skip


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
    """The records of a set; each also tells the file that it is from in `_file`.

    Raises:
        NoData: its folder is not there.
    """
    folder = root() / SETS[name].folder
    if not folder.is_dir():
        raise NoData(f"{VARIABLE} has no folder {folder.name}, which {name} is read from")
    return [{"_file": file} | dict(record) for file in SETS[name].files for record in read_records(folder / file)]


def load(name: str, only: Iterable[Record] | None = None) -> Loaded:
    """A set's rows, duplicates merged."""
    loaded = SETS[name].rows(records(name) if only is None else only, source=name)
    loaded.rows = deduplicate(loaded.rows).rows
    return loaded
