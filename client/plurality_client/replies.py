"""From a reply's JSON to records. Strict where a number could be wrong.

Anything missing, short or not finite is BadReply.
Unknown fields are left alone, so that a newer service can add some.
"""

import json
import math
from typing import Any, TypeVar

from plurality_client import records
from plurality_client.errors import BadReply

Json = dict[str, Any]
Value = TypeVar("Value")


def decode(body: bytes) -> Json:
    """A JSON object.

    Raises:
        BadReply: it is something else.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReply("the reply is not JSON") from None
    if not isinstance(value, dict):
        raise BadReply("the reply is not a JSON object")
    return value


def scores(reply: Json, count: int) -> records.Scores:
    """The reply of /score to `count` items."""
    items = tuple(_scored(entry) for entry in _list(reply, "items", count))
    return records.Scores(model(reply), items, _request_ids(reply))


def preferences(reply: Json, count: int) -> records.Preferences:
    """The reply of /preference to `count` pairs."""
    pairs = tuple(_compared(entry) for entry in _list(reply, "pairs", count))
    return records.Preferences(model(reply), pairs, _request_ids(reply))


def ranking(reply: Json, count: int, *, win_matrix: bool, advantages: bool) -> records.Ranking:
    """The reply of /rank to `count` responses."""
    items = tuple(_scored(entry) for entry in _list(reply, "items", count))
    scored = [place for place, item in enumerate(items) if item.reward is not None]
    order = tuple(_list(reply, "order", len(scored), of=int))
    if sorted(order) != scored:
        raise BadReply("`order` does not name each scored response once")
    matrix = _list(reply, "win_matrix", count, of=list) if win_matrix else None
    return records.Ranking(
        model(reply),
        order,
        _numbers(reply, "weights", items),
        items,
        None if matrix is None else tuple(_row({"win_matrix": row}, count) for row in matrix),
        _numbers(reply, "advantages", items) if advantages else None,
        _request_ids(reply),
    )


def models(reply: Json) -> records.Models:
    """The reply of /models."""
    served = tuple(_served(entry) for entry in _list(reply, "versions"))
    return records.Models(served, tuple(_rejected(entry) for entry in _list(reply, "rejected")))


def model(reply: Json) -> records.Model:
    """Which version a reply is of."""
    value = _object(reply, "model")
    return records.Model(
        _typed(value, "name", str),
        _typed(value, "version", str),
        _typed(value, "sequence", int),
        _typed(value, "objective", str),
        _typed(value, "precision", str),
        _typed(value, "calibrated", bool),
    )


def _scored(entry: Any) -> records.Scored:
    if entry.get("error") is not None:
        error = _object(entry, "error")
        if entry.get("reward") is not None:
            raise BadReply("an item has both a reward and an error")
        failure = records.Failure(_typed(error, "code", str), _typed(error, "message", str))
        return records.Scored(None, error=failure)
    return records.Scored(
        _finite(entry, "reward"),
        _typed(entry, "tokens", int),
        _typed(entry, "truncated", bool),
        _typed(entry, "cut_tokens", int),
    )


def _compared(entry: Any) -> records.Compared:
    a, b = _scored(_object(entry, "a")), _scored(_object(entry, "b"))
    read = _nothing if a.error or b.error else _finite
    probability, raw = read(entry, "probability"), read(entry, "raw_probability")
    if any(value is not None and not 0 <= value <= 1 for value in (probability, raw)):
        raise BadReply("a probability lies outside [0, 1]")
    return records.Compared(probability, raw, read(entry, "reward_diff"), read(entry, "expected_disagreement"), a, b)


def _served(entry: Any) -> records.Served:
    aliases = tuple(str(alias) for alias in _list(entry, "aliases", of=str))
    return records.Served(model(entry), aliases, _typed(entry, "max_length", int), _finite(entry, "temperature"))


def _rejected(entry: Any) -> records.Rejected:
    version = None if entry.get("version") is None else _typed(entry, "version", str)
    return records.Rejected(
        _typed(entry, "model", str), version, _typed(entry, "reason", str), _typed(entry, "message", str)
    )


def _numbers(reply: Json, name: str, items: tuple[records.Scored, ...]) -> tuple[float | None, ...]:
    """One number an item that has a reward, null for the others."""
    values = _list(reply, name, len(items), of=None)
    return tuple(
        (_nothing if item.reward is None else _finite)({name: value}, name)
        for value, item in zip(values, items, strict=True)
    )


def _row(reply: Json, count: int) -> tuple[float | None, ...]:
    values = _list(reply, "win_matrix", count, of=None)
    return tuple(None if value is None else _finite({"win_matrix": value}, "win_matrix") for value in values)


def _finite(entry: Json, name: str) -> float:
    value = entry.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadReply(f"`{name}` is missing or not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise BadReply(f"`{name}` is not finite")
    return number


def _nothing(entry: Json, name: str) -> None:
    if entry.get(name) is not None:
        raise BadReply(f"`{name}` has a value beside an error")


def _typed(entry: Json, name: str, kind: type[Value]) -> Value:
    value = entry.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadReply(f"`{name}` is missing or no {kind.__name__}")
    return value


def _object(entry: Json, name: str) -> Json:
    return _typed(entry, name, dict)


def _list(entry: Json, name: str, count: int | None = None, *, of: type | None = dict) -> list[Any]:
    """A list of `count` entries (any number if None), all of one type (any if None)."""
    value = _typed(entry, name, list)
    if count is not None and len(value) != count:
        raise BadReply(f"`{name}` has {len(value)} entries for {count}")
    if of is not None and not all(isinstance(one, of) for one in value):
        raise BadReply(f"an entry of `{name}` is no {of.__name__}")
    return value


def _request_ids(reply: Json) -> tuple[str, ...]:
    return (_typed(reply, "request_id", str),)
