"""Votes on the wire, and how they become the store's records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from service.api.schemas import ItemError, Selector, Text, Wire, WireMessage, WirePair, WirePrompt, to_item
from service.domain import Reward
from service.errors import InvalidInput, TextTooLong
from service.feedback.export import Rows
from service.feedback.records import JudgedPair, Prediction, ScoredPair
from service.scoring import Scored

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
    status: Literal["stored", "known"] | None = None
    error: ItemError | None = None


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


@dataclass(frozen=True, slots=True)
class Place:
    """A pair of a reply."""

    request_id: str
    index: int


def share_a(vote: WireVote) -> float:
    """How far a is preferred, in [0, 1]."""
    return vote.vote.a / _PEOPLE if isinstance(vote.vote, Estimate) else _SHARES[vote.vote]


def kind(vote: WireVote) -> str:
    """For the metrics."""
    if isinstance(vote.vote, Estimate):
        return "graded"
    return "tie" if vote.vote == "tie" else "binary"


def subject(vote: WireVote, place: int, *, longest: int) -> Place | JudgedPair:
    """What a vote is about.

    Args:
        longest: characters that a prompt and a response may have together.

    Raises:
        InvalidInput: an estimate that is not of ten people, or neither or both ways to name a pair.
    """

    def wrong(what: str, field: str) -> InvalidInput:
        return InvalidInput(f"vote {place}: {what}", param=f"votes[{place}].{field}")

    if isinstance(vote.vote, Estimate) and vote.vote.a + vote.vote.b != _PEOPLE:
        raise wrong("a and b are of ten people: they sum to 10", "vote")
    whole = (vote.prompt, vote.messages, vote.response_a, vote.response_b, vote.model)
    if vote.request_id is not None:
        if vote.index is None or any(part is not None for part in whole):
            raise wrong("a pair of a reply is named by request_id and index, and nothing else", "request_id")
        return Place(vote.request_id, vote.index)
    if vote.index is not None:
        raise wrong("index belongs to a request_id", "index")
    prompt = vote.prompt if vote.messages is None else vote.messages
    if (vote.prompt is None) == (vote.messages is None) or vote.response_a is None or vote.response_b is None:
        raise wrong("give request_id and index, or prompt (or messages), response_a and response_b", "prompt")
    if prompt is None or prompt == []:
        raise wrong("the conversation is empty", "messages")
    pair = _pair(prompt, vote.response_a, vote.response_b)
    if max(item.characters for item in pair.items) > longest:
        raise TextTooLong(f"vote {place} has more characters than the limit of {longest}", param=f"votes[{place}]")
    return pair


def scored_pairs(
    request_id: str, scored: Scored, pairs: Sequence[WirePair], labels: dict[str, str], clock: Callable[[], float]
) -> list[ScoredPair]:
    """A reply's pairs to remember: those that have both rewards and a prompt that people can be shown.

    Args:
        scored: outcomes come as a, b, a, b, ...
        labels: the request's own: which experiment and arm served it, where one did.
    """
    found, now = [], clock()
    for index, pair in enumerate(pairs):
        first, second = scored.outcomes[2 * index : 2 * index + 2]
        if pair.prompt == [] or not (isinstance(first, Reward) and isinstance(second, Reward)):
            continue
        probability = scored.calibrator.probability(first.value - second.value, pair.source)
        found.append(
            ScoredPair(
                request_id, index, _pair(pair.prompt, pair.response_a, pair.response_b), scored.manifest.model,
                scored.digest, Prediction(first.value, second.value, probability), now, pair.source,
                labels.get("experiment"), labels.get("arm"),
            )
        )  # fmt: skip
    return found


def _pair(prompt: str | list[WireMessage], response_a: str, response_b: str) -> JudgedPair:
    return JudgedPair(to_item(prompt, response_a).prompt, response_a, response_b)
