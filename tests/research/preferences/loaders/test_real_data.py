"""The studies' loaders on the real files, where $PREFERENCE_DATA is set; none of those files is in the repository."""

import os
from collections import Counter

import pytest

from plurality.training.loaders import Loaded
from plurality.training.split import deduplicate
from research.preferences.data import SETS, NoData, records

pytestmark = pytest.mark.skipif(
    not os.environ.get("PREFERENCE_DATA"), reason="PREFERENCE_DATA is not set: the real preference files are not here"
)

EXPECTED = {
    "hh-rlhf-harmless-test": (2299, 13), "dsp-helpful": (2333, 19), "dsp-webgpt": (901, 0),
    "finegrained-qa": (3000, 0), "ukpconvarg1": (16912, 15), "alpaca-eval": (5600, 867),
    "alpacafarm-gpt4": (648, 0), "vicuna80": (2240, 0), "community-alignment": (1258, 74),
}  # fmt: skip
"""Rows and dropped pairs. Their sums are the pairs that the sets' READMEs count."""


def loaded(name: str) -> Loaded:
    """A set's rows as they are read, duplicates included."""
    try:
        return SETS[name].rows(records(name), source=name)
    except NoData as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", SETS)
def test_rows_and_drops(name: str) -> None:
    """As many rows and drops as the set has, and a wins as often as b: position says nothing."""
    found = loaded(name)
    assert (len(found.rows), found.dropped.total()) == EXPECTED[name]
    decided = [row for row in found.rows if row.preference != 0.5]
    assert 0.45 < sum(row.preference > 0.5 for row in decided) / len(decided) < 0.55
    assert len({row.id for row in found.rows}) == len(found.rows)


def test_votes_of_arguments() -> None:
    """UKPConvArg1: 16,927 pairs less those between equal texts, with 4 or 5 votes each before de-duplication."""
    found = loaded("ukpconvarg1")
    totals = Counter(row.votes.total for row in found.rows if row.votes)
    assert set(totals) == {4, 5}
    assert len(set(found.groups.values())) == 16
    assert deduplicate(found.rows).contradicted == 50


def test_known_overlap_of_prompts() -> None:
    """The 80 Vicuna questions are AlpacaEval's part `vicuna` too, as both READMEs say."""
    keys = {name: {row.prompt_key: row.category for row in loaded(name).rows} for name in ("vicuna80", "alpaca-eval")}
    shared = set(keys["vicuna80"]) & set(keys["alpaca-eval"])
    assert len(shared) > 70
    assert {keys["alpaca-eval"][key] for key in shared} == {"vicuna"}
