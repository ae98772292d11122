"""The root of the error tree of every package: `service/errors.py` has the service's, each package its own."""

from typing import ClassVar


class PluralityError(Exception):
    """Root of the tree. `code` is stable and machine-readable; the message never holds the caller's text."""

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))


def _rebuild(kind: type[PluralityError], state: dict[str, object]) -> PluralityError:
    """Make an error whole again after pickling, whatever its constructor asks for."""
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class ConfigurationError(PluralityError):
    """A setting that cannot work; the process refuses to start."""

    code = "configuration_error"
