"""`plurality data`: what it prints, and its exit codes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from plurality.cli.app import app, exit_code
from plurality.core.errors import PluralityError
from plurality.training.loaders.registry import SETS
from tests.plurality.training.data import raw_row, write_jsonl

RUN = CliRunner()
RECORDS = [{"prompt": f"question {i}", "chosen": f"yes {i}", "rejected": f"no {i}"} for i in range(60)]


def data(*words: str | Path) -> Result:
    return RUN.invoke(app, ["data", *map(str, words)])


def test_list() -> None:
    """Every set with its license and what it needs; the same for machines."""
    shown = data("list")
    assert shown.exit_code == 0
    for name, entry in SETS.items():
        assert name in shown.stdout
        assert entry.license in shown.stdout
    listed = json.loads(data("list", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(SETS)


def test_prepare_and_check(tmp_path: Path) -> None:
    """The three files are announced with their counts, load in `check`, and share no prompt."""
    source = write_jsonl(tmp_path / "records.jsonl", [*RECORDS, RECORDS[0] | {"rejected": "yes 0"}])
    out = tmp_path / "out"
    made = data("prepare", "trl", "--from", source, "--output", out, "--split", "0.6,0.2,0.2")
    assert made.exit_code == 0, made.output
    assert "61 records -> 61 pairs read = 60 written + 0 merged + 1 dropped" in made.stdout
    assert "dropped       1  both answers are the same" in made.stdout
    parts = [out / f"{part}.jsonl" for part in ("train", "validation", "test")]
    checked = data("check", *parts)
    assert checked.exit_code == 0, checked.output
    assert "shared: nothing" in checked.stdout
    report = json.loads(data("check", *parts, "--json").stdout)
    assert sum(entry["rows"] for entry in report["files"].values()) == 60


def test_check_fails_on_shared_prompts(tmp_path: Path) -> None:
    """A prompt in two files is exit code 4, named by ids and never by its text; shared answers alone are not."""
    one = write_jsonl(tmp_path / "one.jsonl", [raw_row(id="1", prompt="secret", response_a="said")])
    two = write_jsonl(tmp_path / "two.jsonl", [raw_row(id="2", prompt="Secret", response_a="x", response_b="y")])
    three = write_jsonl(tmp_path / "three.jsonl", [raw_row(id="3", prompt="other", response_a="said")])
    leaking = data("check", one, two)
    assert leaking.exit_code == 4
    assert "same prompt" in leaking.stdout
    assert "such as 2" in leaking.stdout
    assert "ecret" not in leaking.stdout
    sharing = data("check", one, three)
    assert (sharing.exit_code, "same answer in" in sharing.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("prepare", "nope", "--output", "x"), "no set is called", 2),
        (("prepare", "trl", "--output", "x"), "needs --from FILE", 2),
        (("prepare", "trl", "--output", "x", "--split", "half"), "give three shares", 2),
        (("prepare", "trl", "--output", "x", "--from", "missing.jsonl"), "no such file", 2),
        (("check", "a.jsonl", "a.jsonl"), "given twice", 2),
        (("check", "missing.jsonl"), "no such file", 2),
    ],
)
def test_errors(words: tuple[str, ...], message: str, code: int) -> None:
    """Cause and cure, and the exit code of wrong usage."""
    failed = data(*words)
    assert isinstance(failed.exception, PluralityError)
    assert message in failed.exception.message
    assert exit_code(failed.exception) == code
