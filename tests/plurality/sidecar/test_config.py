"""The sidecar's file: every mistake is named by its key."""

from pathlib import Path

import pytest

from plurality.sidecar.config import read_config
from plurality.sidecar.votes import open_votes
from plurality.training.errors import TrainingError

GOOD = """
store = "models"
name = "helpful"
work = "work"
model = "checkpoint"
feedback = "sqlite:///feedback.db"
min_new_votes = 50

[train]
objective = "soft"
epochs = 2.0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sidecar.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    config = read_config(written(tmp_path, GOOD))
    assert config.store == tmp_path / "models"
    assert config.model == str(tmp_path / "checkpoint")
    assert config.train == {"objective": "soft", "epochs": 2.0}


def test_a_hub_id_stays_one(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, GOOD)).model == "checkpoint"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('stable = "candidate"', "one alias"),
        ("min_new_votes = 0", "min_new_votes"),
        ("held_out_share = 1.0", "held_out_share"),
        ("unknown = 1", "unknown"),
        ("not toml", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, named: str) -> None:
    text = GOOD.replace("min_new_votes = 50", line)
    with pytest.raises(TrainingError, match=named):
        read_config(written(tmp_path, text))


@pytest.mark.parametrize(("line", "named"), [("resume = true", "resume"), ("learning_rate = -1.0", "learning_rate")])
def test_mistakes_in_the_settings_of_training_are_found_before_any_vote(tmp_path: Path, line: str, named: str) -> None:
    with pytest.raises(TrainingError, match=named):
        read_config(written(tmp_path, GOOD + line))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"sidecar\.toml: No such file"):
        read_config(tmp_path / "sidecar.toml")


def test_the_database_and_the_key_are_beside_the_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD.replace("min_new_votes = 50", 'service_key_file = "key"')))
    assert config.feedback == f"sqlite:///{tmp_path}/feedback.db"
    assert config.service_key_file == tmp_path / "key"


@pytest.mark.parametrize("url", ["sqlite:////var/votes.db", "postgresql+psycopg://host/votes"])
def test_a_whole_url_stays_as_it_is(tmp_path: Path, url: str) -> None:
    assert read_config(written(tmp_path, GOOD.replace("sqlite:///feedback.db", url))).feedback == url


def test_a_database_that_is_not_there_is_an_error_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="PLURALITY_FEEDBACK__URL"):
        open_votes(f"sqlite:///{tmp_path}/none.db", "tiny")
    assert not (tmp_path / "none.db").exists()
