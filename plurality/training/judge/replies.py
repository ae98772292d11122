"""What an OpenAI-compatible endpoint may answer; only what is read of it is declared."""

from collections.abc import Sequence

import msgspec

from plurality.training.judge.errors import BadReply
from plurality.training.judge.logprob import check_logprobs
from plurality.training.judge.requests import Request


class Place(msgspec.Struct, frozen=True):
    """One generated token, and the tokens that could have stood there."""

    token: str
    top: tuple[tuple[str, float], ...] = ()


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of the judge."""

    text: str
    places: tuple[Place, ...] = ()


class Usage(msgspec.Struct, frozen=True):
    """Tokens that the endpoint counted."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class JudgeReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reply of the endpoint, as the cache stores it."""

    key: str
    answers: tuple[Answer, ...]
    characters: int
    """Of the prompt."""
    usage: Usage | None = None
    served: str | None = None
    """The model that the endpoint says it ran."""
    at: str = ""
    """When, UTC."""


class _Token(msgspec.Struct):
    token: str
    logprob: float


class _Content(msgspec.Struct):
    token: str
    top_logprobs: list[_Token] = []


class _Logprobs(msgspec.Struct):
    content: list[_Content] | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: Usage | None = None
    model: str | None = None


_DECODER = msgspec.json.Decoder(_Reply)


def read_reply(request: Request, body: bytes, *, at: str) -> JudgeReply:
    """The answers in a reply.

    Raises:
        BadReply: not JSON (NaN and Infinity are none), no or too many answers, log probabilities that were asked
            for and are missing or impossible.
    """
    try:
        reply = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's message may quote the text.
        raise BadReply("the endpoint's reply is not a chat completion (NaN is not JSON)") from None
    if not 1 <= len(reply.choices) <= request.answers:
        raise BadReply(f"the endpoint sent {len(reply.choices)} answers where {request.answers} were asked for")
    with_logprobs = bool(request.body.get("logprobs"))
    answers = tuple(_answer(choice, with_logprobs) for choice in reply.choices)
    return JudgeReply(request.key, answers, request.characters, reply.usage, reply.model, at)


def _answer(choice: _Choice, with_logprobs: bool) -> Answer:
    text = choice.message.content or ""
    if not with_logprobs:
        return Answer(text)
    content = choice.logprobs.content if choice.logprobs else None
    if not content or not any(part.top_logprobs for part in content):
        raise BadReply("the endpoint sent no log probabilities; can it? else --mode sample")
    return Answer(text, tuple(Place(part.token, _top(part.top_logprobs)) for part in content))


def _top(tokens: Sequence[_Token]) -> tuple[tuple[str, float], ...]:
    top = tuple((entry.token, entry.logprob) for entry in tokens)
    check_logprobs(top)
    return top
