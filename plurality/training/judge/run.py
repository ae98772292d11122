"""Rows in, judgements out, in the order of the rows."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from plurality.core.errors import PluralityError
from plurality.core.judge_record import JudgeRecord, OrderRecord
from plurality.core.rows import PreferenceRow
from plurality.training.judge import logprob, sample
from plurality.training.judge.cache import Cache
from plurality.training.judge.client import Client
from plurality.training.judge.errors import BadReply, BadRequest, TooManyFailures
from plurality.training.judge.replies import Answer, JudgeReply
from plurality.training.judge.requests import Request, next_request, order_texts
from plurality.training.judge.settings import JudgeSettings

Outcome = JudgeRecord | BadReply | BadRequest


@dataclass(slots=True)
class Spent:
    """What this run asked for, and was told that it used."""

    requests: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    unreadable: int = 0
    """Pairs without a judgement, since their answers could not be read."""
    failed: int = 0
    """Pairs whose request or reply failed."""
    served: set[str] = field(default_factory=set)

    def add(self, reply: JudgeReply) -> None:
        """A reply that was paid for."""
        self.requests += 1
        if reply.usage:
            self.prompt_tokens += reply.usage.prompt_tokens
            self.answer_tokens += reply.usage.completion_tokens


class Judge:
    """Asks what the cache does not know."""

    def __init__(self, settings: JudgeSettings, cache: Cache, client: Client) -> None:
        self._settings, self._cache, self._client = settings, cache, client
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.spent = Spent()

    async def judge(self, row: PreferenceRow) -> JudgeRecord:
        """One pair's judgement.

        Raises:
            JudgeError: as `Client.ask`.
        """
        orders = []
        for order, text, want in order_texts(self._settings, row):
            answers = await self._answers(text, want)
            if self._settings.mode == "sample":
                orders.append(sample.count_answers(order, [answer.text for answer in answers]))
            else:
                labels = self._labels(answers[0])
                orders.append(logprob.order_record(order, labels, min_covered=self._settings.min_covered))
        return _record(self._settings, orders)

    async def _answers(self, text: str, want: int) -> list[Answer]:
        """All answers in one order; an endpoint that sends fewer than asked for is asked again for the rest."""
        answers: list[Answer] = []
        while len(answers) < want:
            reply = await self._reply(next_request(self._settings, text, have=len(answers), want=want))
            if reply.served:
                self.spent.served.add(reply.served)
            answers += reply.answers
        return answers

    async def _reply(self, request: Request) -> JudgeReply:
        lock = self._asking.setdefault(request.key, asyncio.Lock())
        async with lock:  # the same pair twice in a file, or once in each order, is asked once
            if (known := self._cache.get(request.key)) is not None:
                self.spent.cached += 1
                return known
            reply = await self._client.ask(request)
            self._cache.put(reply)
            self.spent.add(reply)
            return reply

    def _labels(self, answer: Answer) -> logprob.Labels | None:
        place: int | None = 0
        if self._settings.label == "generate":
            place = logprob.label_place([part.token for part in answer.places])
        return None if place is None else logprob.read_labels(answer.places[place].top)


async def judge_rows(
    rows: Sequence[PreferenceRow],
    judge: Judge,
    *,
    concurrency: int,
    max_failures: int,
    tick: Callable[[Spent], None],
) -> list[Outcome]:
    """Judge every row, `concurrency` at a time.

    Args:
        max_failures: so many rows may fail on their own before the run stops.
        tick: called after each row.

    Raises:
        JudgeError: the endpoint is of no use; replies until then are in the cache.
    """
    outcomes: dict[int, Outcome] = {}
    left = iter(enumerate(rows))

    async def work() -> None:
        for index, row in left:
            try:
                record = await judge.judge(row)
                outcomes[index] = record
                judge.spent.unreadable += record.q is None
            except (BadReply, BadRequest) as error:
                outcomes[index] = error
                judge.spent.failed += 1
                if judge.spent.failed > max_failures:
                    raise TooManyFailures(f"{judge.spent.failed} pairs failed, the last: {error.message}") from None
            tick(judge.spent)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(rows))):
                group.create_task(work())
    except* PluralityError as several:
        raise _first(several) from None
    return [outcomes[index] for index in range(len(rows))]


def _first(several: BaseExceptionGroup[PluralityError]) -> PluralityError:
    first = several.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _record(settings: JudgeSettings, orders: Sequence[OrderRecord]) -> JudgeRecord:
    n = sum(settings.draws().values())
    unparsable = sum(order.unparsable for order in orders)
    q = sample.preference(orders) if settings.mode == "sample" else logprob.preference(orders[0], orders[1])
    return JudgeRecord(
        q=q,
        mode=settings.mode,
        n=n,
        parsed=n - unparsable,
        unparsable=unparsable,
        orders=tuple(orders),
        model=settings.model,
        settings=settings.digest,
    )
