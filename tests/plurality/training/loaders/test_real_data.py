"""The local loaders on the real files, where $PREFERENCE_DATA is set; nothing of those files is in the repository."""

import os
from collections import Counter
from pathlib import Path

import pytest

from plurality.training.loaders.files import read_folder
from plurality.training.loaders.prepare import Plan, prepare
from plurality.training.loaders.registry import LOCAL_SETS, SETS, DataSet, Folder
from plurality.training.loaders.sources import Origin
from plurality.training.split import deduplicate

ROOT = os.environ.get("PREFERENCE_DATA")
pytestmark = pytest.mark.skipif(not ROOT, reason="PREFERENCE_DATA is not set: the real preference files are not here")

EXPECTED = {
    "hh-rlhf-harmless-test": (2299, 13), "dsp-helpful": (2333, 19), "dsp-webgpt": (901, 0),
    "dsp-academy": (2599, 45), "dsp-business": (2600, 44), "dsp-entertainment": (2614, 30),
    "dsp-literature": (2615, 29),
    "finegrained-qa": (3000, 0), "oasst1-sample": (754, 7), "ukpconvarg1": (16912, 15), "alpaca-eval": (5600, 867),
    "alpacafarm-gpt4": (648, 0), "vicuna80": (2240, 0), "vicuna80-judges": (2560, 0),
    "community-alignment": (1258, 74),
}  # fmt: skip
"""Rows and dropped pairs. Their sums are the pairs that the sets' READMEs count (oasst1-sample: its rows alone are;
vicuna80-judges: 28 pairs of models, and 4 with claude, on 80 questions)."""


def folder(dataset: DataSet) -> Path:
    assert isinstance(dataset.origin, Folder)
    path = Path(ROOT or "") / dataset.origin.name
    if not path.is_dir():
        pytest.skip(f"{dataset.origin.name} is not in PREFERENCE_DATA")
    return path


@pytest.mark.parametrize("dataset", LOCAL_SETS, ids=lambda entry: entry.name)
def test_rows_and_drops(dataset: DataSet) -> None:
    """As many rows and drops as the set has, and a wins as often as b: position says nothing."""
    assert isinstance(dataset.origin, Folder)
    loaded = dataset.rows(read_folder(folder(dataset), dataset.origin.files), source=dataset.name)
    assert (len(loaded.rows), loaded.dropped.total()) == EXPECTED[dataset.name]
    decided = [row for row in loaded.rows if row.preference != 0.5]
    assert 0.45 < sum(row.preference > 0.5 for row in decided) / len(decided) < 0.55
    assert len({row.id for row in loaded.rows}) == len(loaded.rows)


@pytest.mark.parametrize("dataset", LOCAL_SETS, ids=lambda entry: entry.name)
def test_prepared(dataset: DataSet, tmp_path: Path) -> None:
    """Every set can be prepared with its own shares, and every pair is accounted for."""
    folder(dataset)
    card = prepare(Plan(dataset=dataset, output=tmp_path / "out", origin=Origin(root=Path(ROOT or ""))))
    pairs = card["pairs"]
    assert pairs["read"] == pairs["written"] + pairs["merged"] + sum(pairs["dropped"].values())
    assert not [leak for leak in card["shared_between_parts"] if leak["kind"] == "prompt"]


def test_votes_of_arguments() -> None:
    """UKPConvArg1: 16,927 pairs less those between equal texts, with 4 or 5 votes each before de-duplication."""
    dataset = SETS["ukpconvarg1"]
    assert isinstance(dataset.origin, Folder)
    loaded = dataset.rows(read_folder(folder(dataset), dataset.origin.files), source=dataset.name)
    totals = Counter(row.votes.total for row in loaded.rows if row.votes)
    assert set(totals) == {4, 5}
    assert len(set(loaded.groups.values())) == 16
    assert deduplicate(loaded.rows).contradicted == 50


def test_known_overlap_of_prompts() -> None:
    """The 80 Vicuna questions are AlpacaEval's part `vicuna` too, as both READMEs say: --exclude is for that."""
    keys = {}
    for name in ("vicuna80", "alpaca-eval"):
        dataset = SETS[name]
        assert isinstance(dataset.origin, Folder)
        rows = dataset.rows(read_folder(folder(dataset), dataset.origin.files), source=name).rows
        keys[name] = {row.prompt_key: row.category for row in rows}
    shared = set(keys["vicuna80"]) & set(keys["alpaca-eval"])
    assert len(shared) > 70
    assert {keys["alpaca-eval"][key] for key in shared} == {"vicuna"}
