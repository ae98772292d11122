"""Votes on the wire, and how they become what feedback takes."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from msgspec import Meta

from plurality.core.errors import PluralityError
from plurality.core.pairs import ResponsePair
from service.api.schemas import Selector
from service.errors import InvalidInput
from service.feedback.database import Status
from service.feedback.intake import GivenVote, ReplyRef
from service.feedback.records import Rows
from service.wire import ItemError, Text, Wire, WireMessage, WirePrompt, to_item

MAX_VOTES = 256
_PEOPLE = 10
# (?!\n)$ and not $ alone: that would also match before a newline at the end.
VOTER = r"^[A-Za-z0-9_-]{1,64}(?!\n)$"
Key = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}(?!\n)$")]
VoterKey = Annotated[
    str,
    Meta(
        pattern=VOTER,
        description="A pseudonym that only you can trace to a person, such as a keyed hash or a random id: never a "
        "name or an e-mail address. All votes of a key are deleted by it.",
    ),
]
Label = Annotated[str, Meta(min_length=1, max_length=128)]
_SHARES = {"a": 1.0, "b": 0.0, "tie": 0.5}


class Estimate(Wire):
    """Of ten people, how many would prefer a and how many b (10-0 ... 0-10)."""

    a: Annotated[int, Meta(ge=0, le=_PEOPLE)]
    b: Annotated[int, Meta(ge=0, le=_PEOPLE)]


class WireVote(Wire, kw_only=True):
    """One person's judgement of a pair: one of a reply, by request id and index, or one that is given whole."""

    id: Annotated[Key, Meta(description="Yours: the same vote sent twice is one vote.")]
    voter: VoterKey
    vote: Literal["a", "b", "tie"] | Estimate
    category: Annotated[Label | None, Meta(description="Such as subjective or objective; of your own choosing.")] = None
    source: Annotated[Label | None, Meta(description="Where the prompt is from.")] = None
    request_id: Annotated[Key | None, Meta(description="Of a reply of /preference, while pairs are remembered.")] = None
    index: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    model: Selector = None
    prompt: WirePrompt | None = None
    messages: Annotated[
        list[WireMessage] | None, Meta(description="The conversation, as rows of training data have it.")
    ] = None
    response_a: Text | None = None
    response_b: Text | None = None


class VotesRequest(Wire):
    """Votes to store."""

    votes: Annotated[list[WireVote], Meta(min_length=1, max_length=MAX_VOTES)]


class VoteReply(Wire, kw_only=True, omit_defaults=True):
    """What became of a vote: stored now, known before, or its own error."""

    id: str
    status: Status | None = None
    error: ItemError | None = None

    @classmethod
    def of(cls, vote_id: str, became: Status | PluralityError) -> Self:
        """Build it from what became of a vote."""
        if isinstance(became, PluralityError):
            return cls(id=vote_id, error=ItemError.of(became))
        return cls(id=vote_id, status=became)


class VotesResponse(Wire):
    """One entry a vote, in the request's order."""

    request_id: str
    votes: list[VoteReply]


class ExportQuery(Wire, kw_only=True):
    """What to export."""

    model: Annotated[str | None, Meta(description="Votes on this model's pairs alone.")] = None
    after: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="The x-feedback-cursor of an earlier export: what is new since.")
    ] = 0
    rows: Annotated[Rows, Meta(description="A row a pair, with all its votes, or a row a vote.")] = "pairs"


class DeletedVotes(Wire):
    """How many votes were deleted."""

    deleted: int


def given(vote: WireVote, place: int, resolve: Callable[[str | None], str | None]) -> GivenVote:
    """A vote as feedback takes it.

    Args:
        place: of the vote in the request.
        resolve: the selector that a client's name of a model stands for.

    Raises:
        InvalidInput: an estimate that is not of ten people, or neither or both ways to name a pair.
    """
    graded = isinstance(vote.vote, Estimate)
    return GivenVote(
        id=vote.id,
        voter=vote.voter,
        subject=_subject(vote, place),
        share_a=vote.vote.a / _PEOPLE if isinstance(vote.vote, Estimate) else _SHARES[vote.vote],
        kind="graded" if graded else "tie" if vote.vote == "tie" else "binary",
        model=resolve(vote.model),
        category=vote.category,
        source=vote.source,
    )


def _subject(vote: WireVote, place: int) -> ReplyRef | ResponsePair:
    def wrong(what: str, field: str) -> InvalidInput:
        return InvalidInput(f"vote {place}: {what}", param=f"votes[{place}].{field}")

    if isinstance(vote.vote, Estimate) and vote.vote.a + vote.vote.b != _PEOPLE:
        raise wrong("a and b are of ten people: they sum to 10", "vote")
    whole = (vote.prompt, vote.messages, vote.response_a, vote.response_b, vote.model)
    if vote.request_id is not None:
        if vote.index is None or any(part is not None for part in whole):
            raise wrong("a pair of a reply is named by request_id and index, and nothing else", "request_id")
        return ReplyRef(vote.request_id, vote.index)
    if vote.index is not None:
        raise wrong("index belongs to a request_id", "index")
    prompt = vote.prompt if vote.messages is None else vote.messages
    if (vote.prompt is None) == (vote.messages is None) or vote.response_a is None or vote.response_b is None:
        raise wrong("give request_id and index, or prompt (or messages), response_a and response_b", "prompt")
    if prompt is None or prompt == []:
        raise wrong("the conversation is empty", "messages")
    return ResponsePair(to_item(prompt, vote.response_a).prompt, vote.response_a, vote.response_b)
