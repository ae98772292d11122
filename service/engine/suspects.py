"""Runs the texts that an engine process may have ended in with nothing beside them, so that another end has one cause.

Everything else runs as before, in as many threads as there are workers; each call stands in the table of running calls.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from service.domain import Encoding, Outcome
from service.engine.backend import Score
from service.engine.policy import CostModel
from service.engine.running_calls import RunningCalls, digest_of


class SuspectsAlone:
    """A `Score` around another one. Called in the threads of the workers."""

    def __init__(self, score: Score, cost: CostModel, calls: RunningCalls, suspects: Iterable[bytes]) -> None:
        """Args: suspects: digests of token ids; one that gets an outcome is none any more."""
        self._score = score
        self._cost = cost
        self._calls = calls
        self._suspects = set(suspects)
        self._changed = threading.Condition()
        self._running = 0

    def __call__(self, encodings: Sequence[Encoding]) -> Sequence[Outcome]:
        """One outcome an encoding, in order; raises as the other `Score`."""
        suspects = {entry for entry in encodings if digest_of(entry) in self._suspects} if self._suspects else set()
        if not suspects:
            with self._beside_others():
                return self._noted(encodings)
        found: dict[Encoding, Outcome] = {}
        for suspect in suspects:
            with self._alone():
                [found[suspect]] = self._noted([suspect])
                self._suspects.discard(digest_of(suspect))
        if others := [entry for entry in encodings if entry not in suspects]:
            with self._beside_others():
                found |= dict(zip(others, self._noted(others), strict=True))
        return [found[entry] for entry in encodings]

    def _noted(self, encodings: Sequence[Encoding]) -> Sequence[Outcome]:
        longest = max(len(entry.ids) for entry in encodings)
        with self._calls.noted(encodings, self._cost.seconds(len(encodings), longest)):
            return self._score(encodings)

    @contextmanager
    def _beside_others(self) -> Iterator[None]:
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Waits until no call runs, and lets none begin: it holds the lock that every beginning takes."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0)
            yield
