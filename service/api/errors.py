"""One table from error class to status, and the replies to errors, each in the shape of its path.

No error body ever holds the caller's input.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from plurality.core.errors import ConfigurationError, PluralityError
from service import errors
from service.api.shapes import NATIVE, ErrorShape, Failure
from service.errors import InvalidInput, Overloaded, Unauthorized, Unavailable
from service.telemetry.logs import get_logger

STATUS: dict[type[PluralityError], int] = {
    PluralityError: 500,
    errors.InvalidInput: 422,
    errors.MalformedRequest: 422,
    errors.TextTooLong: 422,
    errors.TooManyItems: 422,
    errors.ControlTokenInText: 422,
    errors.UnsupportedConversation: 422,
    errors.Unauthorized: 401,
    errors.WritesDisabled: 403,
    errors.UnknownModel: 404,
    errors.VersionNotReady: 409,
    errors.RollbackImpossible: 409,
    errors.PublishError: 500,
    errors.StoreBusy: 409,
    errors.UnknownExperiment: 404,
    errors.ExperimentConflict: 409,
    errors.FeedbackDisabled: 403,
    errors.FeedbackConflict: 409,
    errors.UnknownReply: 404,
    errors.Unavailable: 503,
    errors.Overloaded: 503,
    errors.Draining: 503,
    errors.NotReady: 503,
    errors.EngineRestarting: 503,
    errors.UpstreamUnavailable: 503,
    errors.UpstreamChanged: 503,
    errors.FeedbackUnavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.EngineError: 500,
    errors.InferenceFailed: 500,
    errors.NonFiniteReward: 500,
    errors.TextQuarantined: 500,
    errors.BundleRejected: 500,
    ConfigurationError: 500,
}
_log = get_logger(__name__)
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


class ErrorReplies:
    """Answers exceptions in the shape that the guard, or the dispatch of a shared path, noted for the request."""

    def __init__(self, *, overload_status: int = 503) -> None:
        """Args: overload_status: of a refusal because the service is full."""
        self._overload_status = overload_status

    def of(self, request: Request, error: Exception) -> Response:
        """The reply to a request that ended in this error."""
        if isinstance(error, PluralityError):
            return self._known(request, error)
        if isinstance(error, HTTPException):
            code = _HTTP_CODES.get(error.status_code, "http_error")
            return _respond(request, error.status_code, code, code.replace("_", " "), **dict(error.headers or {}))
        _log.error("unhandled_error", kind=type(error).__name__, request_id=request.scope.get("request_id"))
        return _respond(request, 500, "internal", "an internal error; the request id finds it in the log")

    def install(self, app: FastAPI) -> None:
        """Answer whatever the app's routes raise."""

        async def reply(request: Request, error: Exception) -> Response:
            return self.of(request, error)

        for kind in (PluralityError, HTTPException, Exception):
            app.add_exception_handler(kind, reply)

    def _known(self, request: Request, error: PluralityError) -> Response:
        extra: dict[str, Any] = {}
        status = STATUS[type(error)]
        if isinstance(error, Unavailable):
            extra["retry-after"] = str(error.retry_after_s)
        if isinstance(error, Unauthorized):
            extra["www-authenticate"] = "Bearer"
        if isinstance(error, Overloaded):
            status = self._overload_status
        if isinstance(error, InvalidInput):
            status = request.scope.get("error_shape", NATIVE).mistake
        return _respond(request, status, error.code, error.message, error.param, **extra)


def _respond(
    request: Request, status: int, code: str, message: str, param: str | None = None, **extra: str
) -> Response:
    shape: ErrorShape = request.scope.get("error_shape", NATIVE)
    body, headers = shape.render(Failure(status, code, message, param, request.scope.get("request_id")))
    return Response(body, status, headers | extra)
