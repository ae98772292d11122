"""The shapes in which errors are answered: the native one, and each peer's own."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import msgspec


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, before it has a shape."""

    status: int
    code: str
    """Stable and machine-readable."""
    message: str
    param: str | None
    request_id: str | None


class ErrorDetail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What went wrong."""

    code: str
    """Stable and machine-readable."""
    message: str
    param: str | None
    """The field that is wrong, as a path, where one is."""
    request_id: str | None


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The native shape of every error."""

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How one wire format answers errors."""

    body: Callable[[Failure], object]
    mistake: int = 400
    """Status of what the caller did wrong."""

    def render(self, failure: Failure) -> tuple[bytes, dict[str, str]]:
        """Body and headers. No body ever holds the caller's input."""
        headers = {"content-type": "application/json"}
        if failure.status < 500:
            headers["cache-control"] = "no-store"
        return msgspec.json.encode(self.body(failure)), headers


def _native(failure: Failure) -> ErrorBody:
    return ErrorBody(ErrorDetail(failure.code, failure.message, failure.param, failure.request_id))


def _openai(failure: Failure) -> dict[str, object]:
    kind = HTTPStatus(failure.status).phrase.title().replace(" ", "").removesuffix("Error") + "Error"
    return {
        "error": {"message": failure.message, "type": kind, "param": failure.param, "code": failure.status},
        "request_id": failure.request_id,
    }


def _tei(failure: Failure) -> dict[str, str]:
    kinds = {
        "overloaded": "overloaded", "draining": "unhealthy", "not_ready": "unhealthy", "unavailable": "unhealthy",
        "deadline_exceeded": "overloaded",
    }  # fmt: skip
    kind = kinds.get(failure.code) or ("backend" if failure.status >= 500 else "validation")
    return {"error": failure.message, "error_type": kind}


NATIVE = ErrorShape(_native, mistake=422)
"""{"error": {code, message, param, request_id}}"""
OPENAI = ErrorShape(_openai)
"""vLLM, SGLang, Infinity: {"error": {message, type, param, code}}"""
TEI = ErrorShape(_tei)
"""{"error", "error_type"}"""
INFERENCE = ErrorShape(lambda failure: {"error": failure.message})
"""Open Inference Protocol, KServe: {"error": text}"""
DETAIL = ErrorShape(lambda failure: {"detail": failure.message})
"""What a FastAPI server answers: the trainers' own reward servers are such."""
