"""A call over a list: cut into requests, all answered by one version, results in order."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from plurality_client.errors import ABOUT_ITEMS, InvalidRequest, PluralityClientError, UnknownModel, VersionChanged
from plurality_client.options import OnFailure, Options
from plurality_client.pins import Pins, changed, gone
from plurality_client.records import Model
from plurality_client.replies import Json
from plurality_client.replies import model as model_of
from plurality_client.splitting import split
from plurality_client.transport import Transport

Reply = TypeVar("Reply")
Result = TypeVar("Result")
_STARTS = 3
"""A call whose version went away while it ran is begun anew with the new one, unless the version is pinned."""


@dataclass(frozen=True)
class Work(Generic[Reply]):
    """What to ask."""

    path: str
    name: str
    """The body's list."""
    entries: Sequence[Json]
    sizes: Sequence[int]
    """Characters of each entry."""
    read: Callable[[Json, int], Reply]
    """Raises BadReply."""


@dataclass(frozen=True)
class Terms:
    """How to ask."""

    asked: str | None
    """The model."""
    deadline: float
    on_failure: OnFailure


@dataclass(frozen=True)
class Part(Generic[Reply]):
    """What became of one request."""

    count: int
    reply: Reply | PluralityClientError


@dataclass(frozen=True)
class Asker:
    """Asks on one transport, under one set of pins."""

    transport: Transport
    options: Options
    pins: Pins

    async def all_parts(self, work: Work[Reply], terms: Terms) -> tuple[Model | None, list[Part[Reply]]]:
        """The version that answered, None if nothing did, and every part in order."""
        error: VersionChanged | None = None
        for _ in range(_STARTS):
            try:
                return await self._start(work, terms)
            except VersionChanged as moved:
                if self.pins.binding:
                    raise
                error = moved
        assert error is not None  # noqa: S101 - the loop ran
        raise error

    async def one(self, path: str, body: Json, terms: Terms, *, bound: Model | None) -> tuple[Model, Json]:
        """One request of one version.

        Args:
            bound: the version that must answer.

        Raises:
            VersionChanged: another one did, or it is gone.
        """
        selector = bound.selector if bound else terms.asked
        asked = body if selector is None else {"model": selector, **body}
        try:
            reply = await self.transport.ask("POST", path, asked, deadline=terms.deadline)
        except UnknownModel:
            if bound:
                raise gone(bound) from None
            raise
        model = model_of(reply)
        if bound and model.version != bound.version:
            raise changed(bound, model)
        if not bound:
            self.pins.note(terms.asked, model)
        return model, reply

    async def _start(self, work: Work[Reply], terms: Terms) -> tuple[Model | None, list[Part[Reply]]]:
        """Ask until one request has told the version, then the rest at once, of that version."""
        options = self.options
        slices = split(work.sizes, most=options.items_per_request, largest=options.characters_per_request)
        bound, first = self.pins.bound(terms.asked), 0
        parts: list[Part[Reply]] = []
        while bound is None and first < len(slices):
            bound, answered = await self._part(work, slices[first], terms, None)
            parts += answered
            first += 1
        rest = [self._part(work, one, terms, bound) for one in slices[first:]]
        outcomes = await all_or_cancel(rest)
        model = next((model for model, _ in outcomes if model), bound if parts else None)
        return model, parts + [part for _, answered in outcomes for part in answered]

    async def _part(
        self, work: Work[Reply], place: slice, terms: Terms, bound: Model | None
    ) -> tuple[Model | None, list[Part[Reply]]]:
        """The version that answered, and what became of the items, in one part or in more."""
        entries = list(work.entries[place])
        try:
            model, reply = await self.one(work.path, {work.name: entries}, terms, bound=bound)
            return model, [Part(len(entries), work.read(reply, len(entries)))]
        except ABOUT_ITEMS as error:
            if terms.on_failure == "raise":
                raise
            if len(entries) == 1 or not isinstance(error, InvalidRequest):
                return None, [Part(len(entries), error)]
        return await self._halves(work, place, terms, bound)

    async def _halves(
        self, work: Work[Reply], place: slice, terms: Terms, bound: Model | None
    ) -> tuple[Model | None, list[Part[Reply]]]:
        """One text over a limit refuses its whole request: its neighbors must not pay for it with their rewards."""
        middle = (place.start + place.stop) // 2
        first, left = await self._part(work, slice(place.start, middle), terms, bound)
        second, right = await self._part(work, slice(middle, place.stop), terms, bound or first)
        return first or second, left + right


async def all_or_cancel(work: Sequence[Coroutine[Any, Any, Result]]) -> list[Result]:
    """All results in order; the first error ends the others and is raised."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
