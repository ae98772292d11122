"""`plurality judge` as a user types it, against a real server: judged, killed, resumed, refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plurality.core.judge_record import JudgeRecord
from plurality.training.judge.cache import Cache
from plurality.training.load import load_rows
from tests.e2e.process import ROOT, plurality
from tests.plurality.training.data import planted, raw_row, write_jsonl
from tests.plurality.training.judge.asking import MODEL
from tests.plurality.training.judge.conftest import Server

pytestmark = pytest.mark.e2e
SECRET = "sk-a-key-that-nobody-may-see"
COUNT = 6


def words(server: Server, data: Path, output: Path, *more: str) -> list[str]:
    base = ["judge", "--data", str(data), "--output", str(output), "--endpoint", server.url, "--model", MODEL]
    return [*base, *more]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return plurality(*arguments, env=inherited | environment, stdin=subprocess.DEVNULL)


def files_text(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.iterdir())


def test_judged_rows_train(server: Server, tmp_path: Path) -> None:
    """From a file to rows with q, margin and provenance, and a report; the key is nowhere; again: nothing is asked."""
    raw = planted(COUNT, votes=True)
    for entry in raw[:3]:
        del entry["votes"]
    data = write_jsonl(tmp_path / "pairs.jsonl", raw)
    command = words(server, data, tmp_path / "out" / "judged.jsonl", "--yes", "--requests-per-minute", "6000")
    done = run(*command, "--price-per-million-input", "2", OPENAI_API_KEY=f"{SECRET}\n")
    assert done.returncode == 0, done.stderr
    assert f"{COUNT} pairs: {2 * COUNT} requests to send, 0 answered from the cache" in done.stdout
    assert f"judged {COUNT} of {COUNT} pairs" in done.stdout
    assert "position bias: the first shown wins" in done.stdout
    assert "people (3 pairs): Pearson" in done.stdout
    assert "judging: 100%" in done.stderr
    rows = load_rows(tmp_path / "out" / "judged.jsonl")
    report = json.loads((tmp_path / "out" / "judged.jsonl.report.json").read_text())
    for row, before in zip(rows, load_rows(data), strict=True):
        assert isinstance(row.judge, JudgeRecord)
        assert row.judge.settings == report["settings_sha256"]
        assert row.model_copy(update={"judge": None, "margin": None}) == before
        assert (row.margin is None) == (row.votes is not None)
    assert report["served_models"] == ["tiny-judge"]
    assert {entry["authorization"] for entry in server.log()} == {f"Bearer {SECRET}"}
    assert SECRET not in done.stdout + done.stderr + files_text(tmp_path / "out")
    assert server.url not in files_text(tmp_path / "out")

    server.reset()
    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert server.log() == []
    assert load_rows(tmp_path / "out" / "judged.jsonl") == rows


@pytest.mark.parametrize(
    "options", [("--mode", "logprob"), ("--mode", "sample", "--max-tokens", "3", "--seed", "5", "--n", "4")]
)
def test_killed_and_resumed(server: Server, tmp_path: Path, options: tuple[str, ...]) -> None:
    """kill -9 in the middle, with requests in flight: no request that was answered is sent again, and the end is
    that of a run that was never killed."""
    data = write_jsonl(tmp_path / "pairs.jsonl", planted(COUNT))
    whole = run(*words(server, data, tmp_path / "whole.jsonl", "--yes", *options))
    assert whole.returncode in {0, 5}, whole.stderr

    server.reset()
    server.hold(after=5)
    command = words(server, data, tmp_path / "judged.jsonl", "--yes", "--concurrency", "2", *options)
    killed = subprocess.Popen(
        [sys.executable, "-m", "plurality", *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server.wait_held(2)
    assert len(server.log()) == 5 + 2
    killed.kill()
    assert killed.wait(timeout=60) == -9
    cache = tmp_path / "judged.jsonl.cache.jsonl"
    answered = [json.loads(line)["key"] for line in cache.read_text().splitlines()]
    assert len(answered) == len(set(answered)) == 5
    assert not (tmp_path / "judged.jsonl").exists()
    with cache.open("ab") as file:
        file.write(b'{"key":"torn')

    server.reset()
    resumed = run(*command)
    assert resumed.returncode == whole.returncode, resumed.stderr
    assert f"{2 * COUNT - 5} requests to send, 5 answered from the cache" in resumed.stdout
    assert len(server.log()) == 2 * COUNT - 5
    with Cache(cache) as kept:
        assert len(kept) == 2 * COUNT
    assert len(cache.read_text().splitlines()) == 2 * COUNT
    assert (tmp_path / "judged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_pairs_without_an_answer(server: Server, tmp_path: Path) -> None:
    """Exit code 5, listed in the report, no margin; a pair that the endpoint refuses too."""
    server.faults({"status": 400, "error": {"message": "too long", "code": "context_length_exceeded"}})
    data = write_jsonl(tmp_path / "pairs.jsonl", planted(3))
    options = ("--yes", "--min-covered", "1", "--concurrency", "1")
    done = run(*words(server, data, tmp_path / "judged.jsonl", *options))
    assert done.returncode == 5, done.stderr
    assert "judged 0 of 3 pairs; 2 without a readable answer, 1 failed; 4 of 4 answers unparsable" in done.stdout
    assert "--label generate" in done.stdout
    assert "unreadable=2, failed=1" in done.stderr
    report = json.loads((tmp_path / "judged.jsonl.report.json").read_text())
    assert report["unjudged"] == ["pair-1", "pair-2"]
    assert report["failed"] == {"pair-0": "HTTP 400, context_length_exceeded: too long"}
    rows = load_rows(tmp_path / "judged.jsonl")
    assert [(row.margin, row.judge is None) for row in rows] == [(None, True), (None, False), (None, False)]


def test_a_dry_run_asks_nothing(server: Server, tmp_path: Path) -> None:
    """The estimate alone; and without --yes nothing is sent where nobody can answer."""
    data = write_jsonl(tmp_path / "pairs.jsonl", planted(COUNT))
    command = words(server, data, tmp_path / "judged.jsonl", "--price-per-million-output", "10")
    dry = run(*command, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "12 requests to send" in dry.stdout
    assert "cost: at most about 0.00012" in dry.stdout
    unasked = run(*command)
    assert (unasked.returncode, "pass --yes" in unasked.stderr) == (2, True)
    assert server.log() == []
    assert not (tmp_path / "judged.jsonl").exists()


REFUSED: list[tuple[tuple[str, ...], int, str]] = [
    (("--top-p", "0"), 2, "--top-p"),
    (("--extra", "[]"), 2, "--extra"),
    (("--extra", '{"n": 3}'), 2, "--extra"),
    (("--api-key-env", "NO_SUCH_KEY"), 2, "NO_SUCH_KEY is not set"),
    (("--output", "out.parquet"), 2, "expected a .jsonl"),
    (("--endpoint", "nowhere"), 2, "must look like"),
]


@pytest.mark.parametrize(("options", "code", "said"), REFUSED)
def test_refusals(server: Server, tmp_path: Path, options: tuple[str, ...], code: int, said: str) -> None:
    """One line, the option's name, nothing asked."""
    data = write_jsonl(tmp_path / "pairs.jsonl", [raw_row()])
    done = run(*words(server, data, tmp_path / "judged.jsonl", "--yes", *options))
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert server.log() == []


def test_a_key_that_is_refused(server: Server, tmp_path: Path) -> None:
    """Exit code 1, the cause, not the key."""
    server.faults({"status": 401, "error": {"message": f"wrong key {SECRET}", "code": "invalid_api_key"}})
    data = write_jsonl(tmp_path / "pairs.jsonl", [raw_row()])
    done = run(*words(server, data, tmp_path / "judged.jsonl", "--yes", "--api-key-env", "MY_KEY"), MY_KEY=SECRET)
    assert (done.returncode, "invalid_api_key" in done.stderr) == (1, True)
    assert SECRET not in done.stdout + done.stderr + files_text(tmp_path)


def test_the_help_teaches() -> None:
    """Formula, saturation and an example are where a user looks, and no offline library is loaded for it."""
    code = (
        "import sys; from typer.testing import CliRunner; from plurality.cli.app import app\n"
        "shown = CliRunner().invoke(app, ['judge', '--help']).stdout\n"
        "assert all(word in shown for word in ('σ(½[', 'saturates', '--dry-run', 'plurality train')), shown\n"
        "assert not {'torch', 'httpx', 'transformers', 'tqdm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_rows_with_a_judgement_are_rows() -> None:
    """The record is closed: an unknown field in it is named as bad data."""
    with pytest.raises(ValueError, match="extra"):
        JudgeRecord.model_validate(
            {"mode": "sample", "n": 1, "parsed": 0, "unparsable": 1, "orders": [], "model": "m", "settings": "", "x": 1}
        )


def test_bad_rows_are_named(server: Server, tmp_path: Path) -> None:
    """A file of bad rows is refused before anything is asked."""
    data = write_jsonl(tmp_path / "pairs.jsonl", [raw_row(), raw_row(label=7)])
    done = run(*words(server, data, tmp_path / "judged.jsonl", "--yes"))
    assert (done.returncode, "line 2" in done.stderr, server.log()) == (3, True, [])
