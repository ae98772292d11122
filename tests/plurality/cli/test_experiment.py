"""`plurality experiment`: whatever it asks, it sends the key that it was given."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from plurality.cli.app import app
from tests.reporting_service import answering

DEFINITION = {"name": "taste", "model": "tiny", "control": "old"}
STATE = {"definition": DEFINITION, "runs": True, "problem": None, "origin": "file", "arms": []}
BODY: dict[str, Any] = {**STATE, "experiments": [STATE]}


@pytest.mark.parametrize(
    ("words", "requests"), [(["list"], 1), (["show", "taste"], 1), (["report", "taste"], 1), (["stop", "taste"], 2)]
)
def test_every_request_carries_the_key(tmp_path: Path, words: list[str], requests: int) -> None:
    key = tmp_path / "key"
    key.write_text("# of people who may look\nsecret\n")
    with answering(BODY) as service:
        done = CliRunner().invoke(app, ["experiment", *words, "--url", service.url, "--key-file", str(key)])
    assert done.exit_code == 0, done.output
    assert service.keys == ["Bearer secret"] * requests


def test_without_a_key_none_is_sent() -> None:
    with answering(BODY) as service:
        done = CliRunner().invoke(app, ["experiment", "list", "--url", service.url])
    assert done.exit_code == 0, done.output
    assert service.keys == [None]
