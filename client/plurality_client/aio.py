"""AsyncClient: scores, preferences, rankings and models, awaited."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar, Unpack
from weakref import WeakKeyDictionary

from plurality_client import replies
from plurality_client.errors import ItemFailed, PluralityClientError
from plurality_client.options import CallSettings, Options, Settings, make_options
from plurality_client.parts import Asker, Part, Terms, Work
from plurality_client.pins import Pins
from plurality_client.records import (
    Compared,
    Failure,
    Item,
    Model,
    Models,
    Pair,
    Preferences,
    Prompt,
    Ranking,
    Scored,
    Scores,
    VersionChange,
)
from plurality_client.replies import Json
from plurality_client.timing import REAL, Timing
from plurality_client.transport import Transport

Entry = TypeVar("Entry")
Reply = TypeVar("Reply")
_SCORE, _PREFERENCE, _RANK, _MODELS = (f"/rm/v1/{verb}" for verb in ("score", "preference", "rank", "models"))


@dataclass(slots=True)
class Counts:
    """Since the client was made."""

    items: int = 0
    """Answered for, with a reward or without."""
    truncated: int = 0
    failed: int = 0


class AsyncClient:
    """Asks one service.

    Connections belong to an event loop: in each loop that it is used in, the client opens its own, and `aclose` closes
    those of the loop it is awaited in. For code that makes a new loop for every call there is Client, which keeps one.
    """

    def __init__(self, url: str, *, timing: Timing = REAL, **settings: Unpack[Settings]) -> None:
        self.options: Options = make_options(url, settings)
        self.counts = Counts()
        self._timing = timing
        self._pins = Pins(self.options.pin)
        self._transports: WeakKeyDictionary[asyncio.AbstractEventLoop, Transport] = WeakKeyDictionary()

    @property
    def changes(self) -> list[VersionChange]:
        """With `pin="record"`: every change of version, in order."""
        return list(self._pins.changes)

    def version(self, model: str | None = None) -> Model | None:
        """The version that this client is pinned to, or that last answered; None before the first reply."""
        return self._pins.seen(model or self.options.model)

    async def score(self, items: Sequence[Item | tuple[Prompt, str]], **call: Unpack[CallSettings]) -> Scores:
        """Rewards of (prompt, response) items, any number of them, all of one version.

        Raises:
            PluralityClientError: with `on_failure="raise"` if any item has no reward; else for the run's errors only.
        """
        entries = [Item(*item) for item in items]
        work = Work(
            _SCORE,
            "items",
            [item._asdict() for item in entries],
            [_size(item.prompt, item.response) for item in entries],
            replies.scores,
        )
        terms = self._terms(call)
        model, parts = await self._asker().all_parts(work, terms)
        scored = tuple(_spread(parts, lambda reply: reply.items, _unscored))
        result = Scores(model, scored, _request_ids(parts))
        self._count(result, terms)
        return result

    async def preference(
        self, pairs: Sequence[Pair | tuple[Prompt, str, str]], **call: Unpack[CallSettings]
    ) -> Preferences:
        """Calibrated P(a preferred) of (prompt, response_a, response_b) pairs, all of one version.

        Raises:
            PluralityClientError: as `score`.
        """
        entries = [Pair(*pair) for pair in pairs]
        work = Work(
            _PREFERENCE,
            "pairs",
            [pair._asdict() for pair in entries],
            [_size(pair.prompt, pair.response_a) + _size(pair.prompt, pair.response_b) for pair in entries],
            replies.preferences,
        )
        terms = self._terms(call)
        model, parts = await self._asker().all_parts(work, terms)
        compared = tuple(_spread(parts, lambda reply: reply.pairs, _uncompared))
        result = Preferences(model, compared, _request_ids(parts))
        self._count(result, terms)
        return result

    async def rank(
        self,
        prompt: Prompt,
        responses: Sequence[str],
        *,
        win_matrix: bool = False,
        advantages: bool = False,
        **call: Unpack[CallSettings],
    ) -> Ranking:
        """The responses to one prompt from best to worst: one request, so at most what the service takes at once.

        Raises:
            PluralityClientError: a failed request always; a failed item with `on_failure="raise"`.
        """
        terms, asker = self._terms(call), self._asker()
        body: Json = {"prompt": prompt, "responses": list(responses)}
        body |= {"win_matrix": win_matrix, "advantages": advantages}
        _, reply = await asker.one(_RANK, body, terms, bound=self._pins.bound(terms.asked))
        ranking = replies.ranking(reply, len(responses), win_matrix=win_matrix, advantages=advantages)
        self._count(ranking, terms)
        return ranking

    async def models(self, *, timeout_s: float | None = None) -> Models:
        """List the served versions, and the refused ones with reasons."""
        deadline = self._timing.clock() + (timeout_s or self.options.timeout_s)
        return replies.models(await self._transport().ask("GET", _MODELS, None, deadline=deadline))

    async def aclose(self) -> None:
        """Close this loop's connections."""
        transport = self._transports.pop(asyncio.get_running_loop(), None)
        if transport is not None:
            await transport.aclose()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.aclose()

    def _asker(self) -> Asker:
        return Asker(self._transport(), self.options, self._pins)

    def _transport(self) -> Transport:
        loop = asyncio.get_running_loop()
        transport = self._transports.get(loop)
        if transport is None:
            transport = self._transports[loop] = Transport(self.options, self._timing)
        return transport

    def _terms(self, call: CallSettings) -> Terms:
        timeout_s = call.get("timeout_s", self.options.timeout_s)
        return Terms(
            call.get("model") or self.options.model,
            self._timing.clock() + timeout_s,
            call.get("on_failure", self.options.on_failure),
        )

    def _count(self, result: Scores | Preferences | Ranking, terms: Terms) -> None:
        """Add to the counts; raises for the first item that failed, unless None was asked for."""
        size = len(result.pairs) if isinstance(result, Preferences) else len(result.items)
        failures = result.failures
        self.counts.items += size
        self.counts.truncated += result.truncated
        self.counts.failed += len(failures)
        if failures and terms.on_failure == "raise":
            place, failure = min(failures.items())
            text = f"{len(failures)} of {size} items failed; the first, item {place}: {failure.message}"
            raise ItemFailed(text, index=place, code=failure.code, request_id=",".join(result.request_ids) or None)


def _size(prompt: Prompt, response: str) -> int:
    text = len(prompt) if isinstance(prompt, str) else sum(len(turn["content"]) for turn in prompt)
    return text + len(response)


def _spread(
    parts: Sequence[Part[Reply]], entries: Callable[[Reply], Sequence[Entry]], failed: Callable[[Failure], Entry]
) -> list[Entry]:
    """One entry an item: the replies', and the reason for those whose request failed."""
    spread: list[Entry] = []
    for part in parts:
        if isinstance(part.reply, PluralityClientError):
            spread += [failed(Failure(part.reply.code, part.reply.message))] * part.count
        else:
            spread += entries(part.reply)
    return spread


def _unscored(why: Failure) -> Scored:
    return Scored(None, error=why)


def _uncompared(why: Failure) -> Compared:
    return Compared(None, None, None, None, _unscored(why), _unscored(why))


def _request_ids(parts: Sequence[Part[Scores]] | Sequence[Part[Preferences]]) -> tuple[str, ...]:
    return tuple(
        name for part in parts if not isinstance(part.reply, PluralityClientError) for name in part.reply.request_ids
    )
