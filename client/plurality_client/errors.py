"""Every way a call can fail, as types. All pickle, and none holds a prompt or a response.

PluralityClientError
├── InvalidRequest     400, 413, 422, or refused before sending: these texts cannot be scored as they are
├── UnknownModel       no such model, alias or version
├── VersionChanged     the model is another one than at the start of the run
├── Refused            401, 403, 404, 405 and the like: the address or the credentials are wrong
├── Unavailable        no answer within the deadline's patience: transport errors, 408, 429, 500, 502, 503
├── DeadlineExceeded   the call's deadline passed first
├── ItemFailed         the service answered, and this item has an error of its own
└── BadReply           200, but not the reply that was asked for: not JSON, short, not finite

With `on_failure="none"`, the errors of ABOUT_ITEMS become None for the items concerned. The others concern the run, not
an item, and always raise.
"""


class PluralityClientError(Exception):
    """Root of the tree."""

    code: str = "client_error"
    """Stable and machine-readable; the service's own code where it gave one."""

    def __init__(self, message: str, *, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.request_id = request_id
        """What the service's log knows the request by."""

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[PluralityClientError], state: dict[str, object]) -> PluralityClientError:
    """Make an error whole again after pickling, whatever its constructor asks for."""
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class InvalidRequest(PluralityClientError):
    """These texts cannot be scored as they are; nothing was computed."""

    code = "invalid_request"


class UnknownModel(PluralityClientError):
    """No such model, alias or version is served."""

    code = "unknown_model"


class VersionChanged(PluralityClientError):
    """The model is another one than at the start of the run; the message says what to do."""

    code = "version_changed"


class Refused(PluralityClientError):
    """The address or the credentials are wrong; asking again will not help."""

    code = "refused"


class Unavailable(PluralityClientError):
    """The service could not be reached, or had no room; `retry_after_s` is its own advice, where it gave any."""

    code = "unavailable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.status = status
        """The last reply's status; None if there was no reply."""
        self.retry_after_s = retry_after_s


class DeadlineExceeded(PluralityClientError):
    """The call's deadline passed first; the message names the last failure."""

    code = "deadline_exceeded"


class ItemFailed(PluralityClientError):
    """The service answered with an error for the item at position `index` of the call."""

    code = "item_failed"

    def __init__(self, message: str, *, index: int, code: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.index = index


class BadReply(PluralityClientError):
    """The reply does not match the request; none of its numbers is used."""

    code = "bad_reply"


ABOUT_ITEMS = (InvalidRequest, Unavailable, DeadlineExceeded, ItemFailed, BadReply)
"""What `on_failure="none"` turns into None."""
