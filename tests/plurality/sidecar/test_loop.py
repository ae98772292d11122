"""Whole cycles on real files: a tiny model that is really trained, exported, judged and published."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plurality.core.rows import PreferenceRow, Votes
from plurality.evaluation.predict import predict
from plurality.sidecar.config import read_config
from plurality.sidecar.cycle import REPORT
from plurality.sidecar.files import lease
from plurality.sidecar.loop import Sidecar
from plurality.sidecar.telemetry import Telemetry
from plurality.training.errors import TrainingError
from service.bundle.open import load_model
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import version_directory
from tests.plurality.sidecar.taste import KnownVotes, judged, started


def sidecar(path: Path, votes: KnownVotes, *, now: float = 0.0) -> Sidecar:
    return Sidecar(read_config(path), votes, Telemetry(), lambda _: None, now=lambda: now)


def aliases(folder: Path) -> dict[str, str]:
    return dict(read_pointer(folder / "store" / "tiny").aliases)


def report(folder: Path, number: int = 1) -> dict[str, Any]:
    text = (folder / "work" / "cycles" / f"{number:04d}" / REPORT).read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def error_to_truth(folder: Path, digest: str) -> float:
    """Mean |P - p*| on pairs that nobody voted on."""
    rows = judged(200, seed=99)
    model = load_model(version_directory(folder / "store", "tiny", digest))
    try:
        probability = predict(model, rows).calibrated
    finally:
        model.backend.close()
    return float(np.mean(np.abs(probability - np.array([row.true_preference for row in rows]))))


@pytest.mark.export
def test_votes_become_a_better_candidate_and_stable_does_not_move(tmp_path: Path) -> None:
    path = started(tmp_path)
    first = aliases(tmp_path)["stable"]
    votes = KnownVotes(judged(700, seed=1))
    worker = sidecar(path, votes)
    assert worker.step()
    found = aliases(tmp_path)
    assert found["stable"] == first
    assert report(tmp_path)["outcome"] == "published", report(tmp_path)
    assert found["candidate"] == report(tmp_path)["version"]
    assert error_to_truth(tmp_path, found["candidate"]) < error_to_truth(tmp_path, first)
    assert not worker.step(), "nothing is due before new votes come"
    text = (tmp_path / "work" / "cycles" / "0001" / "evaluate.jsonl").read_text()
    assert len(text.splitlines()) >= 50
    kept = tmp_path / "work" / "cycles" / "0001" / "checkpoint"
    assert (kept / "plurality.json").exists()
    assert not (kept / "checkpoints").exists(), "optimizer states are of no use after the report"
    metrics = {
        sample.labels["outcome"]: sample.value
        for metric in worker.telemetry.registry.collect()
        if metric.name == "rm_trainer_cycles"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert metrics["published"] == 1


@pytest.mark.export
def test_a_version_that_learned_the_contrary_is_refused_with_the_reason(tmp_path: Path) -> None:
    """It is trained from a good version, on votes that were turned round; the old held-out pairs find it."""
    path = started(tmp_path, settings='held_out = "held.jsonl"')
    rows = judged(400, seed=1)
    held = [row.model_copy(update={"source": "people"}) for row in judged(300, seed=2)]
    (tmp_path / "held.jsonl").write_text("".join(row.model_dump_json(exclude_none=True) + "\n" for row in held))
    votes = KnownVotes(rows)
    assert sidecar(path, votes).step()
    good = aliases(tmp_path)["candidate"]
    _promote(tmp_path, good)
    votes.rows += [_turned(row) for row in judged(900, seed=3)]
    assert sidecar(path, votes).step()
    second = report(tmp_path, 2)
    assert second["outcome"] == "refused"
    refused = [gate for gate in second["gates"] if not gate["passed"]]
    assert refused
    assert all(gate["reason"] for gate in refused)
    assert second["parent"] == good
    assert aliases(tmp_path)["candidate"] == good, "a refused version moves nothing"
    request = json.loads((tmp_path / "work" / "cycles" / "0002" / "request.json").read_text())
    assert request["model"].endswith("cycles/0001/checkpoint"), "it trains from the running version"


def _turned(row: PreferenceRow) -> PreferenceRow:
    assert row.votes is not None
    return row.model_copy(update={"label": 1 - row.label, "votes": Votes(a=row.votes.b, b=row.votes.a)})


def _promote(folder: Path, digest: str) -> None:
    with writer(folder / "store", "tiny") as directory:
        set_aliases(directory, {"stable": digest})


def test_few_votes_are_waited_for(tmp_path: Path) -> None:
    path = started(tmp_path)
    assert not sidecar(path, KnownVotes(judged(199, seed=1))).step()
    assert not (tmp_path / "work").exists()


@pytest.mark.export
def test_what_fails_is_reported_and_tried_again_later_only(tmp_path: Path) -> None:
    path = started(tmp_path, training="freeze_layers = 99")
    votes = KnownVotes(judged(300, seed=1))
    assert sidecar(path, votes).step()
    assert report(tmp_path)["outcome"] == "failed"
    assert "freeze" in report(tmp_path)["gates"][0]["reason"]
    assert not sidecar(path, votes, now=599).step()
    assert sidecar(path, votes, now=601).step()
    assert report(tmp_path, 2)["outcome"] == "failed"


def test_one_at_a_time(tmp_path: Path) -> None:
    path = started(tmp_path)
    with (
        lease(tmp_path / "store" / "tiny" / ".trainer.lock"),
        pytest.raises(TrainingError, match="another sidecar trains tiny"),
    ):
        sidecar(path, KnownVotes()).run(once=True)


def test_without_a_running_version_the_cure_is_named(tmp_path: Path) -> None:
    path = started(tmp_path, settings='stable = "other"')
    with pytest.raises(TrainingError, match="publish a first one"):
        sidecar(path, KnownVotes(judged(300, seed=1))).step()
