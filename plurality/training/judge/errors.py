"""What can go wrong at a judge's endpoint. No message holds a prompt, an answer or a key.

PluralityError
└── JudgeError
    ├── BadReply      the endpoint answered, but not in a way that is a judgement; only this pair is affected
    ├── BadRequest    the endpoint refuses this request (too long, an unknown field); only this pair is affected
    ├── AccessDenied  the endpoint refuses every request: key, model, address, quota
    ├── Unreachable   no usable answer after every attempt
    └── TooManyFailures  more pairs failed than the run may lose
"""

from plurality.core.errors import PluralityError


class JudgeError(PluralityError):
    """The judge's endpoint."""

    code = "judge_error"


class BadReply(JudgeError):
    """A reply that lacks the requested answer; it is never filled in."""


class BadRequest(JudgeError):
    """The endpoint refuses this one request."""


class AccessDenied(JudgeError):
    """The endpoint refuses every request."""


class Unreachable(JudgeError):
    """The last attempt failed too."""


class TooManyFailures(JudgeError):
    """Too many pairs failed for the cause to be in the pairs."""
