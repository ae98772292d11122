"""One request's story, top to bottom: limits, pin, admit, tokenize, schedule, settle.

Everything that scores goes through `Scorer.score`: the native routes, the dialects and `plurality score`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.admission import Gate, Permit
from service.bundle.calibrate import Calibrator
from service.bundle.manifest import Manifest
from service.domain import Encoding, Item, Outcome, ScoreQuery
from service.errors import DeadlineExceeded, InvalidInput, TextTooLong, TooManyItems, Unavailable
from service.settings.groups import LimitSettings
from service.versions.live import Live
from service.versions.resident import ResidentVersion


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer: one outcome an item, in the request's order, all of one version."""

    manifest: Manifest
    digest: str
    calibrator: Calibrator
    """P of a difference of this version's rewards."""
    outcomes: Sequence[Outcome]

    def absolute_probability(self, reward: float) -> float:
        """P(this response preferred over one of median reward), for clients that want a number in [0, 1].

        The median r_ref is that of the version's reference set: σ((r − r_ref) / T) with a temperature.
        """
        return self.calibrator.probability(reward - self.manifest.reward_statistics.quantiles["0.5"])


class Scorer:
    """Scores items with one pinned model version."""

    def __init__(self, live: Live, gate: Gate, limits: LimitSettings, clock: Callable[[], float]) -> None:
        self._live = live
        self._gate = gate
        self._limits = limits
        self._clock = clock

    async def score(self, query: ScoreQuery) -> Scored:
        """Score every item of the query, or say why not.

        Returns:
            One outcome an item: a finite reward, or that item's own error. Never a default.

        Raises:
            InvalidInput: the request as a whole breaks a limit.
            UnknownModel: no such model, alias or version.
            Unavailable: full, too slow for the deadline, draining or not ready; nothing was computed.
            DeadlineExceeded: time ran out; what was queued for it will not run.
        """
        self._check_limits(query.items)
        with self._live.pin(query.model) as bundle:
            most = len(query.items) * bundle.manifest.input_format.max_length
            with await self._enter(query, items=len(query.items), tokens=most) as permit:
                if not query.block:
                    bundle.check_wait(query.deadline)
                encoded = await self._encode(bundle, query)
                permit.shrink(sum(len(entry.ids) for entry in encoded if isinstance(entry, Encoding)))
                if not query.block:
                    bundle.check_wait(query.deadline, encoded)
                outcomes = await self._run(bundle, encoded, query.deadline)
            bundle.record_outcomes(outcomes, traffic=query.traffic)
            if query.traffic:
                bundle.observer.note(query.items, outcomes)
            return Scored(bundle.manifest, bundle.digest, bundle.calibrator, outcomes)

    async def tokenize(self, query: ScoreQuery) -> tuple[Manifest, Sequence[Encoding | InvalidInput]]:
        """The items as the model would read them, under the limits of scoring; raises as `score`."""
        self._check_limits(query.items)
        with self._live.pin(query.model) as bundle:
            most = len(query.items) * bundle.manifest.input_format.max_length
            with await self._enter(query, items=len(query.items), tokens=most):
                return bundle.manifest, await self._encode(bundle, query)

    async def _encode(self, bundle: ResidentVersion, query: ScoreQuery) -> list[Encoding | InvalidInput]:
        try:
            async with asyncio.timeout(max(0.0, query.deadline - self._clock())):
                encoded = await bundle.encode(query.items)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while the texts were tokenized") from None
        return encoded if query.truncate else [_require_untruncated(entry) for entry in encoded]

    async def _enter(self, query: ScoreQuery, *, items: int, tokens: int) -> Permit:
        if query.block:
            return await self._gate.enter_when_free(items=items, tokens=tokens, deadline=query.deadline)
        return self._gate.enter(items=items, tokens=tokens)

    def _check_limits(self, items: Sequence[Item]) -> None:
        if len(items) > self._limits.max_items_per_request:
            raise TooManyItems(
                f"{len(items)} items in one request; the limit is {self._limits.max_items_per_request}: split it"
            )
        longest = self._limits.max_characters_per_item
        for index, item in enumerate(items):
            if item.characters > longest:
                raise TextTooLong(
                    f"item {index} has {item.characters} characters; the limit is {longest}", param=f"{index}"
                )

    async def _run(
        self, bundle: ResidentVersion, encoded: Sequence[Encoding | InvalidInput], deadline: float
    ) -> list[Outcome]:
        """Queue the encodable items and wait for them; cancellation removes them from the queue."""
        waiting = {
            index: bundle.engine.submit(entry, deadline=deadline)
            for index, entry in enumerate(encoded)
            if isinstance(entry, Encoding)
        }
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                for future in waiting.values():
                    await future
            return [_finished(waiting.get(index, entry)) for index, entry in enumerate(encoded)]
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed before every reward was known") from None
        finally:
            for future in waiting.values():
                future.cancel()


def _require_untruncated(entry: Encoding | InvalidInput) -> Encoding | InvalidInput:
    """Refuse a truncated item, for a caller that does not allow truncation."""
    if isinstance(entry, Encoding) and entry.cut_tokens:
        read = len(entry.ids)
        whole = read + entry.cut_tokens
        return TextTooLong(f"{whole} tokens; this model reads {read}: shorten the text, or allow it to be cut")
    return entry


def _finished(entry: asyncio.Future[Outcome] | Encoding | InvalidInput) -> Outcome:
    """An item's outcome. What says nothing about the item itself (shutdown, deadline) fails the whole request."""
    assert not isinstance(entry, Encoding)  # noqa: S101 - every encoding was queued
    outcome = entry.result() if isinstance(entry, asyncio.Future) else entry
    if isinstance(outcome, Unavailable | DeadlineExceeded):
        raise outcome
    return outcome
