"""One table from error class to status, and the handlers that answer each error in the shape of its path.

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
    errors.FeedbackUnavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.EngineError: 500,
    errors.InferenceFailed: 500,
    errors.NonFiniteReward: 500,
    errors.TextQuarantined: 500,
    errors.BundleRejected: 500,
    ConfigurationError: 500,
}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


def install_error_handlers(app: FastAPI, *, overload_status: int = 503) -> None:
    """Answer every exception in the shape that the guard, or the dispatch of a shared path, noted for the request.

    Args:
        overload_status: of a refusal because the service is full.
    """
    log = get_logger(__name__)

    def respond(
        request: Request, status: int, code: str, message: str, param: str | None = None, **extra: str
    ) -> Response:
        shape: ErrorShape = request.scope.get("error_shape", NATIVE)
        body, headers = shape.render(Failure(status, code, message, param, request.scope.get("request_id")))
        return Response(body, status, headers | extra)

    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, PluralityError)  # noqa: S101 - registered for this class alone
        extra: dict[str, Any] = {}
        status = STATUS[type(error)]
        if isinstance(error, Unavailable):
            extra["retry-after"] = str(error.retry_after_s)
        if isinstance(error, Unauthorized):
            extra["www-authenticate"] = "Bearer"
        if isinstance(error, Overloaded):
            status = overload_status
        if isinstance(error, InvalidInput):
            status = request.scope.get("error_shape", NATIVE).mistake
        return respond(request, status, error.code, error.message, error.param, **extra)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
        code = _HTTP_CODES.get(error.status_code, "http_error")
        return respond(request, error.status_code, code, code.replace("_", " "), **dict(error.headers or {}))

    async def unknown(request: Request, error: Exception) -> Response:
        log.error("unhandled_error", kind=type(error).__name__, request_id=request.scope.get("request_id"))
        return respond(request, 500, "internal", "an internal error; the request id finds it in the log")

    app.add_exception_handler(PluralityError, known)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unknown)
