"""The sweep: what it chooses is pure; that it trains, goes on and refuses is seen as a user sees it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plurality.training.errors import TrainingError
from plurality.training.sweep import Run, choose, sweep
from tests.e2e.process import verb
from tests.plurality.training.data import planted, write_jsonl
from tests.tiny import build_tiny_checkpoint

EXPECTED = {"training": {"objective": "soft"}, "data_sha256": {"train": "0" * 64}}
rates = st.sampled_from([1e-6, 1e-5, 1e-4])
figures = st.floats(0, 1)
runs_of = st.lists(
    st.builds(Run, rates, st.integers(0, 2), st.just("run"), figures, figures),
    min_size=1, max_size=9, unique_by=lambda run: (run.learning_rate, run.seed),
)  # fmt: skip


@settings(max_examples=200)
@given(runs_of, st.sampled_from(["loss", "accuracy"]))
def test_the_best_rate_by_its_mean(runs: list[Run], criterion: str) -> None:
    """No other rate has a better mean over seeds, and no other run of that rate is better."""
    chosen = choose(runs, criterion)  # type: ignore[arg-type]

    def badness(run: Run) -> float:
        return run.loss if criterion == "loss" else -run.accuracy

    def mean(rate: float) -> float:
        found = [badness(run) for run in runs if run.learning_rate == rate]
        return sum(found) / len(found)

    assert all(mean(chosen.learning_rate) <= mean(run.learning_rate) + 1e-12 for run in runs)
    assert all(badness(chosen.run) <= badness(run) for run in runs if run.learning_rate == chosen.learning_rate)
    tried = sorted({run.learning_rate for run in runs})
    assert chosen.at_edge == (len(tried) > 1 and chosen.learning_rate in {tried[0], tried[-1]})


def test_what_cannot_be_swept(tmp_path: Path) -> None:
    """No rate, the same one twice, or a folder that holds something else."""
    for learning_rates, seeds in (([], [0]), ([1e-5, 1e-5], [0]), ([1e-5], [])):
        with pytest.raises(TrainingError):
            sweep(tmp_path, learning_rates, seeds, EXPECTED, lambda *_: None, lambda _: None)
    place = tmp_path / "lr-1e-05-seed-0"
    place.mkdir()
    (place / "plurality.json").write_text(json.dumps({"training": {"learning_rate": 3e-5, "seed": 0}}))
    with pytest.raises(TrainingError, match="other settings"):
        sweep(tmp_path, [1e-5], [0], EXPECTED, lambda *_: None, lambda _: None)


@pytest.mark.parametrize(
    ("settings", "data", "named"),
    [
        ({"objective": "margin"}, "0" * 64, r"other settings \(objective\)"),
        ({"objective": "soft"}, "1" * 64, "other data"),
    ],
)
def test_a_finished_run_of_another_sweep_is_not_taken_for_one(
    tmp_path: Path, settings: dict[str, str], data: str, named: str
) -> None:
    place = tmp_path / "lr-1e-05-seed-0"
    place.mkdir()
    figures = {"learning_rate": 1e-5, "seed": 0, "validation_loss": 0.5, "validation_accuracy": 0.7}
    record = {"training": figures | settings, "data_sha256": {"train": data}}
    (place / "plurality.json").write_text(json.dumps(record))
    with pytest.raises(TrainingError, match=named):
        sweep(tmp_path, [1e-5], [0], EXPECTED, lambda *_: None, lambda _: None)


@pytest.mark.e2e
def test_a_sweep(tmp_path: Path) -> None:
    """Two rates: a table, a plot and a choice; the second time nothing is trained; its own options are refused."""
    checkpoint = build_tiny_checkpoint("bert", tmp_path / "encoder")
    data = write_jsonl(tmp_path / "train.jsonl", planted(32))
    held_out = write_jsonl(tmp_path / "validation.jsonl", planted(16, seed=1))
    words = ["--data", str(data), "--model", str(checkpoint), "--batch-size", "8"]
    words += ["--output", str(tmp_path / "sweep"), "--learning-rates", "1e-4,1e-2"]
    done = verb("sweep", *words, "--validation", str(held_out))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    assert [run["learning_rate"] for run in record["runs"]] == [1e-4, 1e-2]
    best = min(record["runs"], key=lambda run: run["loss"])
    assert record["chosen"]["run"] == best
    assert f"next: plurality export {tmp_path / 'sweep' / best['folder']}" in done.stdout
    assert (tmp_path / "sweep" / "sweep.png").stat().st_size > 0
    again = verb("sweep", *words, "--validation", str(held_out))
    assert "run 1" not in again.stdout
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text()) == record
    for changed in (["--data", str(held_out)], ["--objective", "bt", "--epochs", "2"]):
        refused = verb("sweep", *words, "--validation", str(held_out), *changed)
        assert refused.returncode != 0
        assert "choose another --output" in refused.stderr
    for extra in (["--validation", str(held_out), "--seed=3"], []):
        assert verb("sweep", *words, *extra).returncode == 2
