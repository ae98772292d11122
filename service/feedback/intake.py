"""What comes into feedback: people's votes, and the pairs of replies that votes may name later."""

import time
from collections.abc import Iterable, Mapping, Sequence

from plurality.core.errors import PluralityError
from plurality.core.pairs import ResponsePair
from service.domain import Item, ScoreItem
from service.errors import FeedbackConflict, TextTooLong, UnknownModel, UnknownReply
from service.feedback.database import Status
from service.feedback.records import Prediction, ScoredPair, Vote
from service.feedback.running import Feedback, FeedbackBackend
from service.feedback.wire import ReplyRef, WireVote
from service.telemetry.metrics import Metrics
from service.versions.live import Live
from service.wire import Model, PreferencePair

_Models = Mapping[str | None, str | UnknownModel]
"""By selector: the name of its model, or why there is none."""


class Intake:
    """Stores votes. `take` is called on the event loop; the database is asked in threads."""

    def __init__(self, feedback: Feedback, live: Live, metrics: Metrics, *, longest: int) -> None:
        """`longest` is how many characters a prompt and a response may have together."""
        self._feedback = feedback
        self._live = live
        self._metrics = metrics
        self._longest = longest

    async def take(self, given: Sequence[WireVote]) -> list[Status | PluralityError]:
        """Store votes, and say of each what became of it: stored now, known before, or its own error.

        Raises:
            InvalidInput: of any vote, as `WireVote.subject`, or its pair is too long; nothing was stored.
            FeedbackDisabled, FeedbackConflict, FeedbackUnavailable, NotReady: nothing was stored.
        """
        kept = self._feedback.require()
        subjects = [self._subject(vote, place) for place, vote in enumerate(given)]
        whole = [vote.model for vote in given if vote.request_id is None]
        return await kept.call(self._store, kept, given, subjects, self._models(whole))

    def _subject(self, vote: WireVote, place: int) -> ReplyRef | ResponsePair:
        subject = vote.subject(place)
        items = subject.items if isinstance(subject, ResponsePair) else ()
        if any(item.characters > self._longest for item in items):
            raise TextTooLong(
                f"vote {place} has more characters than the limit of {self._longest}", param=f"votes[{place}]"
            )
        return subject

    def _models(self, selectors: Iterable[str | None]) -> _Models:
        """Raises NotReady while there is no model."""
        found: dict[str | None, str | UnknownModel] = {}
        for selector in selectors:
            if selector not in found:
                try:
                    with self._live.pin(selector) as bundle:
                        found[selector] = bundle.manifest.model
                except UnknownModel as error:
                    found[selector] = error
        return found

    def _store(
        self,
        kept: FeedbackBackend,
        given: Sequence[WireVote],
        subjects: Sequence[ReplyRef | ResponsePair],
        models: _Models,
    ) -> list[Status | PluralityError]:
        """Store what can be. Blocking."""
        now = time.time()
        results = [_vote(kept, vote, subject, models, now=now) for vote, subject in zip(given, subjects, strict=True)]
        stored = {place: result for place, result in enumerate(results) if isinstance(result, Vote)}
        places = list(stored)
        try:
            statuses = kept.store.add(list(stored.values()))
        except FeedbackConflict as error:
            raise FeedbackConflict(error.message, place=places[error.place]) from None
        became: dict[int, Status] = dict(zip(places, statuses, strict=True))
        for place, status in became.items():
            if status == "stored":
                self._metrics.feedback_votes.labels(stored[place].model, _kind(stored[place])).inc()
        return [became[place] if isinstance(result, Vote) else result for place, result in enumerate(results)]


def _kind(vote: Vote) -> str:
    return "graded" if vote.graded else "tie" if vote.share_a == 0.5 else "binary"


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
    kept: FeedbackBackend, given: WireVote, subject: ReplyRef | ResponsePair, models: _Models, *, now: float
) -> Vote | PluralityError:
    """The record of a vote, or why there is none."""
    shown: Vote | ScoredPair | None = None
    if isinstance(subject, ResponsePair):
        pair, model = subject, models[given.model]
        if isinstance(model, UnknownModel):
            return model
    else:
        shown = kept.recorder.find(*subject) or _known(kept, given)
        if shown is None:
            return UnknownReply("no pair is remembered under this request_id and index: give it whole")
        pair, model = shown.pair, shown.model
    return Vote(
        id=given.id,
        pair=pair,
        share_a=given.share_a,
        voter=given.voter,
        model=model,
        created=now,
        graded=given.graded,
        category=given.category,
        source=given.source or (shown.source if shown else None),
        request_id=given.request_id,
        experiment=shown.experiment if shown else None,
        arm=shown.arm if shown else None,
    )


def _known(kept: FeedbackBackend, given: WireVote) -> Vote | None:
    """The same vote sent again after its pair was forgotten."""
    before = kept.store.get([given.id]).get(given.id)
    return before if before and before.request_id == given.request_id else None
