"""What every route stands on: the deadline, the policy, one call of the Scorer, and what the log and metrics are told.

Native routes and dialects differ in their words only.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.admission import Gate
from service.bundle.manifest import Manifest
from service.domain import Encoding, Item, ScoreQuery
from service.errors import Draining, InvalidInput, MalformedRequest, NotReady
from service.experiments.router import ARM_HEADER, UNIT_HEADER, Asked, Router
from service.scoring import Scored, Scorer
from service.settings.groups import LimitSettings, OnOverload, OverloadSettings
from service.telemetry.metrics import SHORT_DIGEST
from service.versions.live import Live

Result = TypeVar("Result")
TIMEOUT_HEADER = "x-request-timeout-ms"
_WATCH_AFTER_S = 0.02


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """What a client expects of its server."""

    timeout_s: float | None = None
    """Below the client's own; None: the service's default."""
    overload: OnOverload | None = None
    """None: the service's default."""


PLAIN = RequestPolicy()


@dataclass(frozen=True, slots=True)
class RequestScorer:
    """Scores on behalf of a route."""

    scorer: Scorer
    live: Live
    gate: Gate
    limits: LimitSettings
    overload: OverloadSettings
    router: Router
    names: Mapping[str, str] = field(default_factory=dict)
    """What clients call our models, besides our own names; "*" is any other."""

    def resolve(self, model: str | None) -> str | None:
        """Translate a client's model name into a selector."""
        if model is None or model in self.names:
            return model and self.names[model]
        return self.names["*"] if "*" in self.names and not self.live.knows(model) else model

    async def score(
        self,
        request: Request,
        items: Sequence[Item],
        *,
        model: str | None = None,
        policy: RequestPolicy = PLAIN,
        cut: bool = True,
        timeout_s: float | None = None,
    ) -> Scored:
        """Score a request's items unless its client leaves.

        Args:
            cut: whether items may be cut to fit.
            timeout_s: a deadline that the body names: for requests without X-Request-Timeout-Ms, before the policy's.

        Raises:
            MalformedRequest: X-Request-Timeout-Ms is no number.
            PluralityError: as `Scorer.score`.
        """
        query = self._query(request, items, model, policy, cut=cut, timeout_s=timeout_s)
        scored = await unless_disconnected(request, self._routed(request, query))
        request.scope["labels"] |= {"model": scored.manifest.model, "version": scored.digest[:SHORT_DIGEST]}
        return scored

    async def score_each(self, request: Request, items: Sequence[Item], *, models: Sequence[str]) -> list[Scored]:
        """Score the same items by each version within one deadline, whatever experiment runs; errors as of `score`."""
        query = self._query(request, items, None, PLAIN, cut=True, timeout_s=None)

        async def each() -> list[Scored]:
            return [await self.scorer.score(replace(query, model=self.resolve(model))) for model in models]

        return await unless_disconnected(request, each())

    async def _routed(self, request: Request, query: ScoreQuery) -> Scored:
        if not self.router.registry.running:
            return await self.scorer.score(query)
        asked = Asked(request.headers.get(UNIT_HEADER), request.headers.get(ARM_HEADER))
        served = await self.router.score(query, asked)
        request.scope["labels"] |= served.labels
        return served.scored

    async def tokenize(
        self, request: Request, items: Sequence[Item], *, model: str | None
    ) -> tuple[Manifest, Sequence[Encoding | InvalidInput]]:
        """Items as the model would read them, whole or not at all; limits and errors as of `score`."""
        query = self._query(request, items, model, PLAIN, cut=False, timeout_s=None)
        return await unless_disconnected(request, self.scorer.tokenize(query))

    def check_ready(self) -> None:
        """Raises NotReady or Draining unless requests should be sent here."""
        if self.gate.leaving or self.gate.closed:
            raise Draining("this replica is shutting down; send the request to another")
        if not self.live.ready:
            raise NotReady("no model version is loaded yet")

    def _query(
        self,
        request: Request,
        items: Sequence[Item],
        model: str | None,
        policy: RequestPolicy,
        *,
        cut: bool,
        timeout_s: float | None,
    ) -> ScoreQuery:
        deadline = self._deadline(request, policy, timeout_s)
        block = self._on_overload(request, policy) == "block"
        return ScoreQuery(items, self.resolve(model), deadline, truncate=cut, block=block)

    def _deadline(self, request: Request, policy: RequestPolicy, timeout_s: float | None) -> float:
        """On the loop's clock."""
        given = request.headers.get(TIMEOUT_HEADER)
        seconds = timeout_s or policy.timeout_s or self.limits.default_timeout_s
        if given is not None:
            if not (given.isascii() and given.isdigit() and len(given) <= 9 and int(given) > 0):
                raise MalformedRequest(f"{TIMEOUT_HEADER} is a whole number of milliseconds", param=TIMEOUT_HEADER)
            seconds = int(given) / 1000
        return asyncio.get_running_loop().time() + min(seconds, self.limits.max_timeout_s)

    def _on_overload(self, request: Request, policy: RequestPolicy) -> OnOverload:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        chosen = self.overload.keys.get(key.strip()) if scheme.lower() == "bearer" else None
        return chosen or self.overload.routes.get(request.scope["path"]) or policy.overload or self.overload.on_overload


async def unless_disconnected(request: Request, work: Awaitable[Result]) -> Result:
    """Await `work` and cancel it when the client disconnects, which uvicorn itself does not do.

    The connection is looked at only while the work takes long: most requests end before, and a task for each costs.

    Raises:
        ClientDisconnect: the client has gone; nobody is there to be answered.
    """
    watch = _Disconnect(request)
    timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch.begin)
    try:
        return await work
    except asyncio.CancelledError:
        if not watch.gone:
            raise
        watch.waiting.uncancel()
        raise ClientDisconnect from None
    finally:
        timer.cancel()
        watch.end()


class _Disconnect:
    """Cancels the task that made it when the request's client disconnects."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._task: asyncio.Task[None] | None = None
        current = asyncio.current_task()
        assert current is not None  # noqa: S101 - requests are answered in tasks
        self.waiting = current
        self.gone = False

    def begin(self) -> None:
        self._task = asyncio.create_task(self._watch())

    def end(self) -> None:
        if self._task:
            self._task.cancel()

    async def _watch(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.waiting.cancel()
