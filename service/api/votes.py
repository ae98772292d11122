"""The bodies of `/rm/v1/feedback`."""

from typing import Annotated, Self

from msgspec import Meta

from plurality.core.errors import PluralityError
from service.feedback.database import Status
from service.feedback.records import Rows
from service.feedback.wire import WireVote
from service.wire import ItemError, Wire

MAX_VOTES = 256


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
