"""What comes into feedback: people's votes, and the pairs of replies that votes may name later."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from plurality.core.errors import PluralityError
from plurality.core.pairs import ResponsePair
from service.domain import Item, ScoreItem
from service.errors import FeedbackConflict, TextTooLong, UnknownModel, UnknownReply
from service.feedback.database import Status
from service.feedback.records import Prediction, ScoredPair, Vote
from service.feedback.running import Feedback, Kept
from service.telemetry.metrics import Metrics
from service.versions.live import Live
from service.wire import Model, PreferencePair

Kind = Literal["binary", "tie", "graded"]


@dataclass(frozen=True, slots=True)
class ReplyRef:
    """A pair of a reply."""

    request_id: str
    index: int


@dataclass(frozen=True, slots=True)
class GivenVote:
    """A vote before it is known which pair and which model it is of."""

    id: str
    voter: str
    subject: ReplyRef | ResponsePair
    share_a: float
    """How far a is preferred, in [0, 1]."""
    kind: Kind
    model: str | None = None
    """Selector of the model that a whole pair is for; None is the default model."""
    category: str | None = None
    source: str | None = None


class Intake:
    """Stores votes. `take` is called on the event loop; the database is asked in threads."""

    def __init__(self, feedback: Feedback, live: Live, metrics: Metrics, *, longest: int) -> None:
        """`longest` is how many characters a prompt and a response may have together."""
        self._feedback = feedback
        self._live = live
        self._metrics = metrics
        self._longest = longest

    async def take(self, given: Iterable[GivenVote]) -> list[Status | PluralityError]:
        """Store votes, and say of each what became of it: stored now, known before, or its own error.

        Raises:
            TextTooLong: of any vote; nothing was stored.
            FeedbackDisabled, FeedbackConflict, FeedbackUnavailable, NotReady: nothing was stored.
        """
        kept = self._feedback.require()
        votes = [self._checked(vote, place) for place, vote in enumerate(given)]
        models = self._models(votes)
        return await kept.call(self._store, kept, votes, models)

    def _checked(self, vote: GivenVote, place: int) -> GivenVote:
        items = vote.subject.items if isinstance(vote.subject, ResponsePair) else ()
        if any(item.characters > self._longest for item in items):
            raise TextTooLong(
                f"vote {place} has more characters than the limit of {self._longest}", param=f"votes[{place}]"
            )
        return vote

    def _models(self, votes: Sequence[GivenVote]) -> Mapping[str | None, str | UnknownModel]:
        """Names of the models that votes on whole pairs are for; raises NotReady while there is none."""
        found: dict[str | None, str | UnknownModel] = {}
        for vote in votes:
            if isinstance(vote.subject, ResponsePair) and vote.model not in found:
                try:
                    with self._live.pin(vote.model) as bundle:
                        found[vote.model] = bundle.manifest.model
                except UnknownModel as error:
                    found[vote.model] = error
        return found

    def _store(
        self, kept: Kept, votes: Sequence[GivenVote], models: Mapping[str | None, str | UnknownModel]
    ) -> list[Status | PluralityError]:
        """Store what can be. Blocking."""
        now = time.time()
        results = [_vote(kept, vote, models, now=now) for vote in votes]
        stored = {place: result for place, result in enumerate(results) if isinstance(result, Vote)}
        places = list(stored)
        try:
            statuses = kept.store.add(list(stored.values()))
        except FeedbackConflict as error:
            raise FeedbackConflict(error.message, place=places[error.place]) from None
        became: dict[int, Status] = dict(zip(places, statuses, strict=True))
        for place, status in became.items():
            if status == "stored":
                self._metrics.feedback_votes.labels(stored[place].model, votes[place].kind).inc()
        return [became[place] if isinstance(result, Vote) else result for place, result in enumerate(results)]


def scored_pairs(
    request_id: str,
    items: Sequence[Item],
    model: Model,
    pairs: Sequence[PreferencePair],
    *,
    sources: Sequence[str | None],
    labels: Mapping[str, str],
    now: float,
) -> list[ScoredPair]:
    """A reply's pairs to remember: those that have both rewards and a prompt that people can be shown.

    Args:
        items: a, b, a, b, ..., two a pair.
        model: which version answered.
        sources: one a pair.
        labels: the request's own: which experiment and arm served it, where one did.
    """
    found = []
    for index, (pair, source) in enumerate(zip(pairs, sources, strict=True)):
        first, second = items[2 * index : 2 * index + 2]
        if not (isinstance(first, ScoreItem) and isinstance(second, ScoreItem)) or first.prompt == ():
            continue
        if pair.a.reward is None or pair.b.reward is None or pair.probability is None:
            continue
        prediction = Prediction(pair.a.reward, pair.b.reward, pair.probability)
        found.append(
            ScoredPair(
                request_id, index, ResponsePair(first.prompt, first.response, second.response), model.name,
                model.version, prediction, now, source, labels.get("experiment"), labels.get("arm"),
            )
        )  # fmt: skip
    return found


def _vote(
    kept: Kept, given: GivenVote, models: Mapping[str | None, str | UnknownModel], *, now: float
) -> Vote | PluralityError:
    """The record of a vote, or why there is none."""
    shown: Vote | ScoredPair | None = None
    subject = given.subject
    if isinstance(subject, ReplyRef):
        shown = kept.recorder.find(subject.request_id, subject.index) or _known(kept, given.id, subject)
        if shown is None:
            return UnknownReply("no pair is remembered under this request_id and index: give it whole")
        pair, model = shown.pair, shown.model
    else:
        pair, named = subject, models[given.model]
        if isinstance(named, UnknownModel):
            return named
        model = named
    return Vote(
        id=given.id,
        pair=pair,
        share_a=given.share_a,
        voter=given.voter,
        model=model,
        created=now,
        graded=given.kind == "graded",
        category=given.category,
        source=given.source or (shown.source if shown else None),
        request_id=subject.request_id if isinstance(subject, ReplyRef) else None,
        experiment=shown.experiment if shown else None,
        arm=shown.arm if shown else None,
    )


def _known(kept: Kept, vote_id: str, place: ReplyRef) -> Vote | None:
    """The same vote sent again after its pair was forgotten."""
    before = kept.store.get([vote_id]).get(vote_id)
    return before if before and before.request_id == place.request_id else None
