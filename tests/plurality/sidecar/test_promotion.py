"""A candidate's verdict: `stable` moves only by a report about what runs, and every story ends."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from plurality.sidecar.ask_service import ReportAnswer
from plurality.sidecar.config import read_config
from plurality.sidecar.files import write_record
from plurality.sidecar.loop import VERDICT, Sidecar
from plurality.sidecar.promotion import apply_decision
from plurality.sidecar.telemetry import Telemetry
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import set_aliases, writer
from service.errors import FeedbackUnavailable, StoreBusy
from tests.plurality.sidecar.taste import KnownVotes, judged, started
from tests.reporting_service import Answering, answering

pytestmark = pytest.mark.export


class Trial:
    """A published candidate whose experiment is asked."""

    def __init__(self, folder: Path, service: Answering, store: Path) -> None:
        self.folder, self.service = folder, service
        self.said: list[str] = []
        path = started(folder, settings=f'service = "{service.url}"', store=store)
        self.first, self.candidate = (self.aliases()[name] for name in ("stable", "candidate"))
        self.cycle = folder / "work" / "cycles" / "0001"
        write_record(self.cycle / "request.json", {"cursor": 0, "parent": self.first, "model": "checkpoint"})
        report = {"outcome": "published", "version": self.candidate, "ended_at": 0.0}
        write_record(self.cycle / "report.json", report)
        self.sidecar = Sidecar(read_config(path), KnownVotes(), Telemetry(), self.said.append, "taste", now=lambda: 0.0)
        self.answer("promote")

    def answer(self, action: str, *, control: str | None = None, reason: str = "It gains.") -> None:
        report = {"treatment": {"version": self.candidate}, "control": {"version": control or self.first}}
        arm = {"arm": "new", "report": report, "verdict": {"action": action, "reasons": [reason]}}
        self.service.body = {"arms": [arm]}

    def aliases(self) -> dict[str, str]:
        return dict(read_pointer(self.folder / "store" / "tiny").aliases)

    def point(self, changes: dict[str, str | None]) -> None:
        with writer(self.folder / "store", "tiny") as directory:
            set_aliases(directory, changes)

    def verdict(self) -> str:
        recorded: dict[str, Any] = json.loads((self.cycle / VERDICT).read_text())
        return str(recorded["action"])


@pytest.fixture
def trial(tmp_path: Path, published_two: Path) -> Iterator[Trial]:
    with answering({}) as service:
        yield Trial(tmp_path, service, published_two)


def test_a_report_about_the_running_version_promotes(trial: Trial) -> None:
    assert trial.sidecar.step()
    assert trial.aliases()["stable"] == trial.candidate
    assert trial.verdict() == "promote"


def test_a_report_about_another_control_moves_nothing_and_is_said_once(trial: Trial) -> None:
    trial.answer("promote", control="e" * 64)
    for _ in range(3):
        assert not trial.sidecar.step()
    assert trial.aliases()["stable"] == trial.first
    assert len(trial.said) == 1
    assert "compared with version eeeeeeeeeeee" in trial.said[0]


def test_a_hold_is_said_once_whatever_its_figures_and_again_when_its_kind_changes(trial: Trial) -> None:
    for votes in range(3):
        trial.answer("hold", reason=f"{votes} votes")
        assert not trial.sidecar.step()
    trial.service.status = 401
    for _ in range(3):
        assert not trial.sidecar.step()
    assert len(trial.said) == 2
    assert "service_key_file" in trial.said[1]


def test_a_promotion_that_was_not_recorded_is_recorded(trial: Trial) -> None:
    """The process died between the pointer and the record; the experiment has ended since."""
    trial.point({"stable": trial.candidate})
    trial.service.status = 404
    assert trial.sidecar.step()
    assert trial.verdict() == "promote"
    assert not trial.sidecar.step(), "the story is over"


@pytest.mark.parametrize("by_hand", [None, "stable"])
def test_a_candidate_moved_by_hand_ends_the_story(trial: Trial, by_hand: str | None) -> None:
    trial.point({"candidate": trial.first if by_hand else None})
    assert trial.sidecar.step()
    assert trial.verdict() == "moved_by_hand"
    assert trial.aliases()["stable"] == trial.first


def test_a_rollback_drops_the_candidate_only_while_it_is_this_one(trial: Trial) -> None:
    asked = ReportAnswer("roll_back", ("It loses.",), control=trial.first)
    trial.point({"candidate": trial.first})
    assert apply_decision(trial.sidecar.config, trial.candidate, asked).action == "hold"
    assert trial.aliases()["candidate"] == trial.first
    trial.point({"candidate": trial.candidate})
    trial.answer("roll_back")
    assert trial.sidecar.step()
    assert set(trial.aliases()) == {"stable"}


def test_a_store_that_another_process_writes_is_waited_for(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    held, seen_busy, real = Event(), Event(), time.sleep

    def hold() -> None:
        with writer(trial.folder / "store", "tiny"):
            held.set()
            assert seen_busy.wait(60)

    def pause(seconds: float) -> None:
        seen_busy.set()
        real(seconds)

    monkeypatch.setattr(time, "sleep", pause)
    other = Thread(target=hold)
    other.start()
    assert held.wait(60)
    assert trial.sidecar.step()
    other.join()
    assert seen_busy.is_set()
    assert trial.aliases()["stable"] == trial.candidate


class Enough(Exception):
    """The loop went on as it should."""


class Moody(KnownVotes):
    """A database that is away at first, then answers; then the test has seen enough."""

    asked = 0

    def count_after(self, row: int) -> int:
        self.asked += 1
        if self.asked == 1:
            raise FeedbackUnavailable("the feedback database does not answer")
        raise Enough


def test_a_silent_database_does_not_end_the_process(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(Enough):
        Sidecar(read_config(started(tmp_path)), Moody(), Telemetry(), said.append).run()
    assert any("does not answer" in line for line in said)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(28, "No space left on device"), "No space left"), (RuntimeError("CUDA out of memory"), "CUDA out of")],
)
def test_what_a_machine_lacks_ends_the_cycle_with_the_reason(tmp_path: Path, error: Exception, reason: str) -> None:
    votes = Failing(judged(300, seed=1), error)
    assert Sidecar(read_config(started(tmp_path)), votes, Telemetry(), lambda _: None).step()
    report = json.loads((tmp_path / "work" / "cycles" / "0001" / "report.json").read_text())
    assert report["outcome"] == "failed"
    assert reason in report["gates"][0]["reason"]


def test_a_busy_store_discards_no_cycle(tmp_path: Path) -> None:
    votes = Failing(judged(300, seed=1), StoreBusy("another process is publishing tiny"))
    worker = Sidecar(read_config(started(tmp_path)), votes, Telemetry(), lambda _: None)
    for _ in range(2):
        with pytest.raises(StoreBusy):
            worker.step()
    assert [path.name for path in (tmp_path / "work" / "cycles").iterdir()] == ["0001"]
    assert not (tmp_path / "work" / "cycles" / "0001" / "report.json").exists()


class Failing(KnownVotes):
    """Votes that cannot be read."""

    def __init__(self, rows: list[Any], error: Exception) -> None:
        super().__init__(rows)
        self.error = error

    def rows_up_to(self, row: int) -> Any:
        raise self.error
