"""The errors of the service, as types. `service/api/errors.py` maps them to HTTP.

PluralityError                   in plurality.core.errors
├── InvalidInput                 the caller's input; nothing was computed
│   ├── MalformedRequest         not JSON, a wrong type, an unknown field
│   ├── TextTooLong              more characters than the limit allows
│   ├── TooManyItems             more items than one request may hold
│   ├── ControlTokenInText       a text contains one of the model's own control tokens
│   └── UnsupportedConversation  the model's chat format has no place for this order of roles
├── Unauthorized                 no key, or one that does not open this
├── WritesDisabled               no key is configured that would open this
├── UnknownModel                 no such model, alias or version
├── VersionNotReady              an alias cannot move to a version that is not loaded
├── RollbackImpossible           no former version is loaded that the alias could go back to
├── PublishError                 the store cannot take the version or the alias
│   └── StoreBusy                another process is writing it
├── UnknownExperiment            no experiment of this name
├── ExperimentConflict           another definition is in the way
├── FeedbackDisabled             no database for feedback is configured
├── FeedbackConflict             a vote's id is known with another content
├── UnknownReply                 no pair is remembered of this reply
├── Unavailable                  try again after `retry_after_s`
│   ├── Overloaded               the queue is full
│   ├── Draining                 this process is going away
│   ├── NotReady                 no version of the model is loaded yet
│   ├── EngineRestarting         the engine's process ended, and another one does not start yet
│   ├── UpstreamUnavailable      the server that scores for a version does not answer
│   ├── UpstreamChanged          the server that scores for a version has other weights now
│   └── FeedbackUnavailable      the database of feedback does not answer
├── DeadlineExceeded             the caller's deadline passed first
├── EngineError                  the model ran and failed
│   ├── InferenceFailed          the runtime raised; only this batch is affected
│   ├── NonFiniteReward          the model answered NaN or infinity for this item
│   └── TextQuarantined          this text ended the engine's process twice; it is not run again
├── BundleRejected               a version's files are not what its manifest says
└── ConfigurationError           in plurality.core.errors: a setting that cannot work; refuse to start
"""

import math

from plurality.core.errors import PluralityError

MAX_RETRY_AFTER_S = 60


class InvalidInput(PluralityError):
    """The caller's input cannot be scored; nothing was computed."""

    code = "invalid_input"


class MalformedRequest(InvalidInput):
    """The body is not JSON, or not of the documented shape."""

    code = "malformed_request"


class TextTooLong(InvalidInput):
    """A text has more characters than the service reads."""

    code = "text_too_long"


class TooManyItems(InvalidInput):
    """One request holds more items than the service takes at once."""

    code = "too_many_items"


class ControlTokenInText(InvalidInput):
    """A text contains a token that steers the model's chat format, so it would not be read as text."""

    code = "control_token_in_text"


class UnsupportedConversation(InvalidInput):
    """The model's chat format has no place for this order of roles."""

    code = "unsupported_conversation"


class Unauthorized(PluralityError):
    """No key was presented, or one that does not open this."""

    code = "unauthorized"


class WritesDisabled(PluralityError):
    """No key is configured that would open this."""

    code = "writes_disabled"


class UnknownModel(PluralityError):
    """No such model, alias or version is served."""

    code = "unknown_model"


class VersionNotReady(PluralityError):
    """An alias moves only to a version that could answer at once."""

    code = "version_not_ready"


class RollbackImpossible(PluralityError):
    """The alias has no former version that is still loaded."""

    code = "rollback_impossible"


class PublishError(PluralityError):
    """The store cannot take the version or the alias."""

    code = "publish_error"


class StoreBusy(PublishError):
    """Another process is writing the same model."""

    code = "store_busy"


class FeedbackDisabled(PluralityError):
    """No database for feedback is configured."""

    code = "feedback_disabled"


class FeedbackConflict(PluralityError):
    """A vote's id is known with another content; nothing of the request was stored. `place` is the vote's."""

    code = "feedback_conflict"

    def __init__(self, message: str, *, place: int = 0) -> None:
        super().__init__(message, param=f"votes[{place}].id")
        self.place = place


class UnknownReply(PluralityError):
    """No pair is remembered under this request id and index."""

    code = "unknown_reply"


class UnknownExperiment(PluralityError):
    """No experiment of this name is defined."""

    code = "unknown_experiment"


class ExperimentConflict(PluralityError):
    """Another definition is in the way: of this name in the file, or running on the same model."""

    code = "experiment_conflict"


class Unavailable(PluralityError):
    """Right now the service cannot take this; `retry_after_s` says when to come back."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """The queue is full, in items or in tokens. Come back when half of its `queued_s` seconds of work are done."""

    code = "overloaded"

    def __init__(self, message: str, *, reason: str, queued_s: float = 0.0) -> None:
        super().__init__(message, retry_after_s=max(1, math.ceil(min(MAX_RETRY_AFTER_S, queued_s / 2))))
        self.reason = reason


class Draining(Unavailable):
    """This process is shutting down."""

    code = "draining"


class NotReady(Unavailable):
    """No version of the model is loaded yet."""

    code = "not_ready"


class EngineRestarting(Unavailable):
    """The process of the version's engine ended, and could not be started again yet."""

    code = "engine_restarting"


class UpstreamUnavailable(Unavailable):
    """The server that scores for this version is away or full."""

    code = "upstream_unavailable"


class UpstreamChanged(Unavailable):
    """The server that scores for this version gives known texts other rewards than when it was imported."""

    code = "upstream_changed"


class FeedbackUnavailable(Unavailable):
    """The database of feedback does not answer; scoring is not affected."""

    code = "feedback_unavailable"


class DeadlineExceeded(PluralityError):
    """The deadline passed before the reward was known."""

    code = "deadline_exceeded"


class EngineError(PluralityError):
    """The model ran and failed."""

    code = "engine_error"


class InferenceFailed(EngineError):
    """The runtime raised for the batch that this item was in."""

    code = "inference_failed"


class NonFiniteReward(EngineError):
    """The model answered NaN or infinity for this item."""

    code = "non_finite_reward"


class TextQuarantined(EngineError):
    """This text was running twice when the engine's process ended or hung; it is not run again."""

    code = "text_quarantined"


class BundleRejected(PluralityError):
    """A version's files are not what its manifest says; `reason` is one of a closed set (metrics label)."""

    code = "bundle_rejected"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
