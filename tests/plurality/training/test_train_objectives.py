"""A whole run of every objective on a tiny model, and the settings that are refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from model_export.checkpoint import open_checkpoint
from plurality.training.config import checked_config
from plurality.training.errors import TrainingError
from plurality.training.train import train
from tests.plurality.training.data import mixed, same_bits, settings, write_jsonl
from tests.tiny import build_tiny_checkpoint


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint("bert", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", mixed(160))


def quiet(_: str) -> None:
    """Says nothing."""


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"objective": "bt"}, "baseline"),
        ({"objective": "margin", "margin_policy": "clamp"}, "margin-clamp"),
        ({"objective": "margin", "margin_policy": "signed"}, "margin-signed"),
        ({"objective": "margin", "margin_policy": "drop"}, "margin-drop"),
        ({"objective": "soft"}, "soft"),
        ({"objective": "mix", "mix_alpha": 0.25}, "mix"),
        ({"objective": "scaled-bt"}, "scaled-bt"),
        ({"centering": 0.01}, "bt+centered"),
    ],
)  # fmt: skip
def test_every_objective(bert: Path, data: Path, tmp_path: Path, changes: dict[str, Any], name: str) -> None:
    """Each objective trains, is named in the record with its settings, and trains other weights than the baseline."""
    said: list[str] = []
    common = {"epochs": 0.3, "validation": data}
    result = train(settings(bert, data, tmp_path / "run", **common, **changes), say=said.append)
    record = open_checkpoint(str(result.output)).record
    assert record.objective == name
    assert {key: record.training[key] for key in changes if key != "objective"} == {
        key: value for key, value in changes.items() if key != "objective"
    }
    assert record.training["contradicted_pairs"] == 40
    assert record.training["dropped_pairs"] == (40 if name == "margin-drop" else 0)
    assert "judges contradict the label in 25.0% of the pairs (40)" in said[0]
    assert (", 40 dropped" in said[0]) == (name == "margin-drop")
    if name != "baseline":
        train(settings(bert, data, tmp_path / "baseline", **common), say=quiet)
        assert not same_bits(tmp_path / "baseline", tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"margin_policy": "clamp"}, "margin_policy has no effect on baseline"),
        ({"margin_policy": "signed", "objective": "scaled-bt"}, "its loss would have no minimum"),
        ({"mix_alpha": 0.3, "objective": "soft"}, "mix_alpha has no effect on soft"),
        ({"more_floor": 0.1}, "more_floor has no effect without more"),
        ({"centering": -1.0}, "centering: Input should be greater than or equal to 0"),
        ({"more_floor": 1.5, "more": True}, "more_floor: Input should be less than or equal to 1"),
    ],
)  # fmt: skip
def test_settings_without_effect(changes: dict[str, Any], cause: str) -> None:
    """A setting that does nothing, or rewards being wrong, is refused by its name in one line."""
    base = {"model": "m", "data": Path("d"), "output": Path("o")}
    with pytest.raises(TrainingError, match=cause):
        checked_config(**base, **changes)
    with pytest.raises(ValidationError):
        settings(Path("m"), Path("d"), Path("o"), **changes)
