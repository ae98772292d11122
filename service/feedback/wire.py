"""A vote as JSON has it: what it says, and of which pair."""

from typing import Annotated, Literal

from msgspec import Meta

from plurality.core.pairs import ResponsePair
from service.errors import InvalidInput
from service.wire import Selector, Text, Wire, WireMessage, WirePrompt, to_item

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
ReplyRef = tuple[str, int]
"""Request id and index of a pair of a reply."""


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

    @property
    def share_a(self) -> float:
        """How far a is preferred, in [0, 1]."""
        return self.vote.a / _PEOPLE if isinstance(self.vote, Estimate) else _SHARES[self.vote]

    @property
    def graded(self) -> bool:
        """Whether it is an estimate rather than a choice."""
        return isinstance(self.vote, Estimate)

    def subject(self, place: int) -> ReplyRef | ResponsePair:
        """The pair that it judges, or where that was shown.

        Args:
            place: of the vote in the request.

        Raises:
            InvalidInput: an estimate that is not of ten people, or neither or both ways to name a pair.
        """

        def wrong(what: str, field: str) -> InvalidInput:
            return InvalidInput(f"vote {place}: {what}", param=f"votes[{place}].{field}")

        if isinstance(self.vote, Estimate) and self.vote.a + self.vote.b != _PEOPLE:
            raise wrong("a and b are of ten people: they sum to 10", "vote")
        whole = (self.prompt, self.messages, self.response_a, self.response_b, self.model)
        if self.request_id is not None:
            if self.index is None or any(part is not None for part in whole):
                raise wrong("a pair of a reply is named by request_id and index, and nothing else", "request_id")
            return self.request_id, self.index
        if self.index is not None:
            raise wrong("index belongs to a request_id", "index")
        prompt = self.prompt if self.messages is None else self.messages
        if (self.prompt is None) == (self.messages is None) or self.response_a is None or self.response_b is None:
            raise wrong("give request_id and index, or prompt (or messages), response_a and response_b", "prompt")
        if prompt is None or prompt == []:
            raise wrong("the conversation is empty", "messages")
        return ResponsePair(to_item(prompt, self.response_a).prompt, self.response_a, self.response_b)
