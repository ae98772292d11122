"""The hub's part: what is asked of `datasets`, and what an offline machine is told."""

from typing import Any

import datasets
import pytest

from plurality.training.errors import TrainingError
from plurality.training.loaders.hub import PARQUET, Hub, fetch
from plurality.training.loaders.registry import SETS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Calls of `load_dataset`, answered with two records."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def answer(path: str, **options: Any) -> list[dict[str, str]]:
        calls.append((path, options))
        return [{"q": "1"}, {"q": "2"}]

    monkeypatch.setattr(datasets, "load_dataset", answer)
    return calls


def test_what_is_asked(asked: list[tuple[str, dict[str, Any]]]) -> None:
    """Only what the set needs: config, folder, split."""
    assert fetch(Hub("org/set", "config", data_dir="folder"), "train") == [{"q": "1"}, {"q": "2"}]
    assert asked == [("org/set", {"name": "config", "data_dir": "folder", "split": "train"})]


def test_sets_with_scripts_use_the_conversion(asked: list[tuple[str, dict[str, Any]]]) -> None:
    """`datasets` runs no scripts any more: these two sets are read from the hub's Parquet conversion, by path."""
    for name, split in (("webgpt", "train"), ("summarize", "train"), ("summarize", "validation")):
        origin = SETS[name].origin
        assert isinstance(origin, Hub)
        fetch(origin, split)
    assert all(options["revision"] == PARQUET and "name" not in options for _, options in asked)
    assert asked[-1][1]["data_files"] == {"validation": "comparisons/validation/*.parquet"}


def test_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause in one line, and the cure."""

    def refuse(path: str, **options: Any) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(TrainingError) as caught:
        fetch(Hub("org/set"), "train", cure="Copy it here.")
    message = "cannot fetch org/set, split train (ConnectionError: no route). Copy it here."
    assert str(caught.value) == message


def test_unknown_split() -> None:
    """Where the files of each split are listed, another split is refused before anything is fetched."""
    origin = SETS["webgpt"].origin
    assert isinstance(origin, Hub)
    with pytest.raises(TrainingError, match="has no split 'test'; it has train"):
        fetch(origin, "test")


def test_papers_sets_are_there() -> None:
    """Both papers' training and test sets have a name, and official test splits are used where there are any."""
    names = set(SETS)
    assert names >= {"hh-rlhf", "webgpt", "summarize", "gptj-synthetic", "prism", "ultrafeedback", "oasst1", "trl"}
    official = {entry.name for entry in SETS.values() if isinstance(entry.origin, Hub) and entry.origin.test}
    assert official == {"hh-rlhf", "hh-rlhf-helpful", "hh-rlhf-harmless", "summarize", "oasst1", "oasst1-all"}
