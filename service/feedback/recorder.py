"""Remembers scored pairs behind the replies: a bounded queue and one thread that writes it to the store.

A pair is in the queue until its row is committed, so it is found at every moment after its reply. When the database
is slow or away the queue fills, and what no longer fits is dropped and counted: a reply never waits.
"""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from itertools import islice

from service.errors import FeedbackUnavailable
from service.feedback.database import FeedbackStore
from service.feedback.records import ScoredPair
from service.telemetry.logs import get_logger

MAX_PAIRS = 8192
MAX_CHARACTERS = 32 * 2**20
"""Of all texts that wait, so about as many bytes to four times as many."""
_BATCH = 256
_RETRY_S = 1.0
_FORGET_EVERY_S = 600.0
_Place = tuple[str, int]
_log = get_logger(__name__)


class Recorder:
    """One for a process. `keep` is called on the event loop, everything else in threads."""

    def __init__(
        self,
        store: FeedbackStore,
        *,
        hours: float,
        dropped: Callable[[int], None],
        max_pairs: int = MAX_PAIRS,
        max_characters: int = MAX_CHARACTERS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._age_s = hours * 3600
        self._dropped = dropped
        self._max_pairs = max_pairs
        self._max_characters = max_characters
        self._clock = clock
        self._pending: dict[_Place, ScoredPair] = {}
        self._characters = 0
        self._changed = threading.Condition()
        self._closing = False
        self._forgotten_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="remember", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, or drop it where the database does not answer, and end. Blocking."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def keep(self, pairs: Sequence[ScoredPair]) -> None:
        """Queue a reply's pairs, all or none. Never blocks for the database."""
        size = sum(_characters(pair) for pair in pairs)
        with self._changed:
            full = len(self._pending) + len(pairs) > self._max_pairs or self._characters + size > self._max_characters
            if not (full or self._closing):
                for pair in pairs:
                    self._put(pair)
                self._changed.notify()
                return
        self._dropped(len(pairs))

    def find(self, request_id: str, index: int) -> ScoredPair | None:
        """A remembered pair, whether or not it is written yet.

        Raises:
            FeedbackUnavailable: it is not in the queue and the database does not answer.
        """
        with self._changed:
            pair = self._pending.get((request_id, index))
        pair = pair or self._store.find(request_id, index)
        return pair if pair and pair.created >= self._clock() - self._age_s else None

    def next_unvoted_pair(self, voter: str, avoid: Collection[str] = ()) -> ScoredPair | None:
        """A remembered pair that this person has not voted on; raises FeedbackUnavailable."""
        return self._store.next_unvoted_pair(voter, since=self._clock() - self._age_s, avoid=avoid)

    def _put(self, pair: ScoredPair) -> None:
        place = (pair.request_id, pair.index)
        before = self._pending.get(place)
        self._characters += _characters(pair) - (_characters(before) if before else 0)
        self._pending[place] = pair

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing, timeout=_FORGET_EVERY_S)
                batch = list(islice(self._pending.values(), _BATCH))
                last = self._closing
            try:
                self._write(batch)
            except FeedbackUnavailable:
                if last:
                    break
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, timeout=_RETRY_S)
            except Exception as error:  # noqa: BLE001 - the supervisor: a batch that cannot be written ends no other
                self._drop(batch, type(error).__name__)
            else:
                if last and not batch:
                    break
        with self._changed:
            rest = list(self._pending.values())
        self._drop(rest, "shutdown")

    def _drop(self, batch: Sequence[ScoredPair], cause: str) -> None:
        if batch:
            with self._changed:
                for pair in batch:
                    self._committed(pair)
            self._dropped(len(batch))
            _log.error("remembered_pairs_lost", pairs=len(batch), cause=cause)

    def _write(self, batch: Sequence[ScoredPair]) -> None:
        if batch:
            self._store.remember(batch)
            with self._changed:
                for pair in batch:
                    self._committed(pair)
        now = self._clock()
        if now - self._forgotten_at >= _FORGET_EVERY_S:
            self._store.forget(now - self._age_s)
            self._forgotten_at = now

    def _committed(self, pair: ScoredPair) -> None:
        """Take it out of the queue, unless a later reply has taken its place."""
        place = (pair.request_id, pair.index)
        if self._pending.get(place) is pair:
            del self._pending[place]
            self._characters -= _characters(pair)


def _characters(pair: ScoredPair) -> int:
    return sum(item.characters for item in pair.pair.items)
