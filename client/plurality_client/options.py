"""How a client behaves: frozen, hashable, picklable; wrong values are refused where they are given."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict
from urllib.parse import urlsplit

OnFailure = Literal["raise", "none"]
Pin = Literal["raise", "record", "off"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Every setting of a client.

    Raises:
        ValueError: a value that cannot work; the message names it.
    """

    url: str
    model: str | None = None
    """`name`, `name@alias` or `name@digest`; None is the service's default model."""
    timeout_s: float = 120.0
    """The deadline of one call, retries and waiting included."""
    attempt_timeout_s: float = 60.0
    """The deadline of one attempt: a machine that vanished must not eat the whole call."""
    on_failure: OnFailure = "raise"
    pin: Pin = "raise"
    concurrency: int = 8
    """Requests at once, over all calls of the client."""
    items_per_request: int = 32
    """The service takes 256 by default."""
    characters_per_request: int = 400_000
    """Keeps a body below the service's 2 MiB."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every request: credentials of a gateway, say. Kept out of repr."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        _require(parts.scheme in {"http", "https"} and bool(parts.netloc), "url is http(s)://host[:port]", self.url)
        for name in ("timeout_s", "attempt_timeout_s"):
            value = getattr(self, name)
            _require(math.isfinite(value) and 0 < value < 1e6, f"{name} is a positive number of seconds", value)
        for name in ("concurrency", "items_per_request", "characters_per_request"):
            _require(getattr(self, name) >= 1, f"{name} is at least 1", getattr(self, name))
        _require(self.on_failure in {"raise", "none"}, 'on_failure is "raise" or "none"', self.on_failure)
        _require(self.pin in {"raise", "record", "off"}, 'pin is "raise", "record" or "off"', self.pin)
        object.__setattr__(self, "url", self.url.rstrip("/"))


class Behavior(TypedDict, total=False):
    """How to ask, whatever the model: see Options."""

    timeout_s: float
    attempt_timeout_s: float
    on_failure: OnFailure
    pin: Pin
    concurrency: int
    items_per_request: int
    characters_per_request: int
    headers: Mapping[str, str]


class Settings(Behavior, total=False):
    """Keyword arguments of a client: see Options."""

    model: str | None


class CallSettings(TypedDict, total=False):
    """What one call may have otherwise than its client."""

    model: str | None
    timeout_s: float
    on_failure: OnFailure


def make_options(url: str, settings: Settings) -> Options:
    """Options from keyword arguments."""
    given = dict(settings)
    given["headers"] = tuple(sorted(settings.get("headers", {}).items()))
    return Options(url=url, **given)  # type: ignore[arg-type]


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{rule}, not {value!r}")
