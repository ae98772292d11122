"""Client: AsyncClient for code that does not await."""

from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from plurality_client.aio import AsyncClient, Counts
from plurality_client.background_loop import BackgroundLoop
from plurality_client.options import CallSettings, Options, Settings
from plurality_client.records import (
    Item,
    Model,
    Models,
    Pair,
    Preferences,
    Prompt,
    Ranking,
    Scores,
    VersionChange,
)
from plurality_client.timing import REAL, Timing

Result = TypeVar("Result")


class Client:
    """Asks one service, from any number of threads at once, on connections that outlive the call.

    Every argument and every error is AsyncClient's.
    """

    def __init__(self, url: str, *, timing: Timing = REAL, **settings: Unpack[Settings]) -> None:
        self._client = AsyncClient(url, timing=timing, **settings)
        self._loop = BackgroundLoop(self._client.aclose)

    @property
    def options(self) -> Options:
        """The settings."""
        return self._client.options

    @property
    def counts(self) -> Counts:
        """Items, truncated, failed."""
        return self._client.counts

    @property
    def changes(self) -> list[VersionChange]:
        """With `pin="record"`: every change of version, in order."""
        return self._client.changes

    def version(self, model: str | None = None) -> Model | None:
        """The version that this client is pinned to, or that last answered; None before the first reply."""
        return self._client.version(model)

    def score(self, items: Sequence[Item | tuple[Prompt, str]], **call: Unpack[CallSettings]) -> Scores:
        """Rewards of (prompt, response) items: see AsyncClient.score."""
        return self._run(self._client.score(items, **call))

    def submit_score(
        self, items: Sequence[Item | tuple[Prompt, str]], **call: Unpack[CallSettings]
    ) -> "Future[Scores]":
        """`score`, not waited for; from a coroutine, `await asyncio.wrap_future(...)`."""
        return self._loop.submit(self._client.score(items, **call))

    def preference(self, pairs: Sequence[Pair | tuple[Prompt, str, str]], **call: Unpack[CallSettings]) -> Preferences:
        """P(a preferred) of pairs: see AsyncClient.preference."""
        return self._run(self._client.preference(pairs, **call))

    def rank(
        self,
        prompt: Prompt,
        responses: Sequence[str],
        *,
        win_matrix: bool = False,
        advantages: bool = False,
        **call: Unpack[CallSettings],
    ) -> Ranking:
        """Responses from best to worst: see AsyncClient.rank."""
        return self._run(self._client.rank(prompt, responses, win_matrix=win_matrix, advantages=advantages, **call))

    def models(self, *, timeout_s: float | None = None) -> Models:
        """List the served versions, and the refused ones with reasons."""
        return self._run(self._client.models(timeout_s=timeout_s))

    def close(self) -> None:
        """Close the connections; what still runs is cancelled."""
        self._loop.close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        future = self._loop.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the caller ends the work too
            raise
