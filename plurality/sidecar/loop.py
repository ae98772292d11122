"""The sidecar's loop: poll for votes, run the step that is due, repeat. All state is on disk and in the database."""

import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from plurality.core.errors import PluralityError
from plurality.core.rows import PreferenceRow
from plurality.sidecar.ask_service import ask_service
from plurality.sidecar.config import SidecarConfig
from plurality.sidecar.cycle import REPORT, REQUEST, Cycle, Ended, run_cycle, write_report
from plurality.sidecar.files import lease, read_record, write_record
from plurality.sidecar.gates import Gate
from plurality.sidecar.promotion import already_decided, apply_decision
from plurality.sidecar.telemetry import Telemetry
from plurality.training.errors import TrainingError
from plurality.training.trainer import CHECKPOINTS
from service.bundle.pointer import read_pointer
from service.errors import BundleRejected, FeedbackUnavailable, PublishError, StoreBusy

VERDICT = "verdict.json"
_LEASE = ".trainer.lock"
_FOLDER = re.compile(r"[0-9]{4,}")
_RETRY_S = 600.0
"""After a cycle that failed: what failed once may be a full disk, and may pass."""
_HOUR = 3600.0
_OUTCOMES = {"promote": "promoted", "roll_back": "rolled_back"}


class Votes(Protocol):
    """Votes on one model's replies, numbered in the order of their arrival."""

    def newest(self) -> int:
        """Row number of the last vote; 0 while there is none."""
        ...

    def count_after(self, row: int) -> int:
        """Votes that came after a row."""
        ...

    def rows_up_to(self, row: int) -> Iterable[PreferenceRow]:
        """All votes up to a row, as training rows."""
        ...


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One model's training job."""

    config: SidecarConfig
    votes: Votes
    telemetry: Telemetry
    say: Callable[[str], None]
    experiment: str | None = None
    """Name of the experiment whose decision may move `stable`; None: `stable` never moves."""
    now: Callable[[], float] = time.time
    _logged: dict[str, str] = field(default_factory=dict)
    """By cycle, the kind of reason that was logged last."""

    def run(self, *, once: bool = False) -> None:
        """Run every step that is due; then poll for more, or return if `once`.

        Raises:
            TrainingError: another sidecar has this model, or there is no running version to start from.
        """
        with lease(self.config.store / self.config.name / _LEASE):
            while True:
                try:
                    while self.step():
                        pass
                except (PublishError, FeedbackUnavailable, OSError) as error:
                    if once:
                        raise
                    self.say(f"tried again in {self.config.poll_s:g} s: {_reason(error)}")
                if once:
                    return
                time.sleep(self.config.poll_s)

    def step(self) -> bool:
        """Run the step that is due; returns whether there was one.

        Raises:
            FeedbackUnavailable, PublishError, OSError: what may pass; the next step goes on where this one was.
            TrainingError: there is no running version to start from.
        """
        last = self._last()
        if last is not None and not (last / REPORT).exists():
            self._finish(self._read(last))
            return True
        if last is not None and self._awaits_verdict(last):
            return self._follow_verdict(last)
        cursor = self._cursor()
        fresh = self.votes.count_after(cursor)
        self.telemetry.new_votes.set(fresh)
        if not self._due(fresh, last):
            return False
        self._finish(self._begin(last))
        return True

    def _due(self, fresh: int, last: Path | None) -> bool:
        report = read_record(last / REPORT) if last else None
        waited = self.now() - report["ended_at"] if report else None
        if report and report["outcome"] == "failed" and waited is not None and waited < _RETRY_S:
            return False
        if fresh >= self.config.min_new_votes:
            return True
        hours = self.config.every_hours
        return bool(fresh and hours and (waited is None or waited >= hours * _HOUR))

    def _begin(self, last: Path | None) -> Cycle:
        number = int(last.name) + 1 if last else 1
        folder = self.config.work / "cycles" / f"{number:04d}"
        parent = self._running()
        cycle = Cycle(folder, self.votes.newest(), parent, self._checkpoint(parent))
        write_record(folder / REQUEST, {"cursor": cycle.cursor, "parent": parent, "model": cycle.model})
        return cycle

    def _finish(self, cycle: Cycle) -> None:
        self.say(f"cycle {cycle.folder.name}: from version {cycle.parent[:12]}")
        try:
            end = run_cycle(cycle, self.config, lambda: self.votes.rows_up_to(cycle.cursor), self.telemetry, self.say)
        except (StoreBusy, FeedbackUnavailable):
            raise  # what was trained is kept: the next step goes on with it
        except (PluralityError, OSError, RuntimeError) as error:
            end = Ended("failed", None, (Gate("run", passed=False, reason=_reason(error)),))
        write_report(cycle, end, ended_at=self.now())
        shutil.rmtree(cycle.folder / "checkpoint" / CHECKPOINTS, ignore_errors=True)
        self.telemetry.ended(end.outcome)
        named = f" {end.digest[:12]} as {self.config.candidate}" if end.digest and end.outcome == "published" else ""
        self.say(f"cycle {cycle.folder.name}: {end.outcome}{named}")
        for reason in end.refusals:
            self.say(f"  {reason}")

    def _awaits_verdict(self, last: Path) -> bool:
        report = read_record(last / REPORT) or {}
        return self.experiment is not None and report["outcome"] == "published" and not (last / VERDICT).exists()

    def _follow_verdict(self, last: Path) -> bool:
        """Ask the service for the decision on the last candidate and apply it; True once the cycle is closed."""
        report = read_record(last / REPORT) or {}
        digest = report["version"]
        assert self.experiment and self.config.service  # noqa: S101, PT018 - checked where the sidecar is made
        answer = already_decided(self._aliases(), self.config, digest)
        if answer is None:
            with self.telemetry.phase("verdict"):
                answer = ask_service(self.config.service, self.experiment, digest, self.config.service_key_file)
                if answer.action != "hold":
                    answer = apply_decision(self.config, digest, answer)
        if answer.action == "hold" and self.now() - report["ended_at"] < self.config.verdict_hours * _HOUR:
            if self._logged.get(last.name) != answer.kind:
                self._logged[last.name] = answer.kind
                self.say(f"cycle {last.name}: hold: {'; '.join(answer.reasons)}")
            return False
        write_record(last / VERDICT, {"action": answer.action, "reasons": list(answer.reasons), "version": digest})
        if answer.action in _OUTCOMES:
            self.telemetry.ended(_OUTCOMES[answer.action])
        self.say(f"cycle {last.name}: {answer.action}: {'; '.join(answer.reasons)}")
        return True

    def _aliases(self) -> Mapping[str, str]:
        try:
            return read_pointer(self.config.store / self.config.name).aliases
        except BundleRejected as error:
            raise TrainingError(f"the store's pointer of {self.config.name} cannot be read: {error.message}") from None

    def _running(self) -> str:
        aliases = self._aliases()
        if self.config.stable not in aliases:
            raise TrainingError(
                f"{self.config.name} has no version {self.config.stable!r} to start from: publish a first one"
            )
        return aliases[self.config.stable]

    def _checkpoint(self, digest: str) -> str:
        """The checkpoint of the running version; the configured one where the version is not the sidecar's own."""
        for folder in self._folders():
            report = read_record(folder / REPORT)
            if report and report["version"] == digest:
                return str(folder / "checkpoint")
        return self.config.model

    def _cursor(self) -> int:
        """Row number of the newest vote that any finished cycle trained on; failed cycles do not count."""
        known = [
            self._read(folder).cursor
            for folder in self._folders()
            if (report := read_record(folder / REPORT)) and report["outcome"] != "failed"
        ]
        return max(known, default=0)

    def _read(self, folder: Path) -> Cycle:
        request = read_record(folder / REQUEST) or {}
        return Cycle(folder, request["cursor"], request["parent"], request["model"])

    def _last(self) -> Path | None:
        return max(self._folders(), default=None)

    def _folders(self) -> list[Path]:
        root = self.config.work / "cycles"
        found = root.iterdir() if root.is_dir() else ()
        return sorted(path for path in found if _FOLDER.fullmatch(path.name) and (path / REQUEST).exists())


def _reason(error: Exception) -> str:
    """One line: a library's message may be a page."""
    if isinstance(error, PluralityError):
        return error.message
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {(text.splitlines() or [''])[0][:300]}"
