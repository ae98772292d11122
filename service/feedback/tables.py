"""The tables of feedback, the same on SQLite and PostgreSQL.

What people write is stored as JSON: PostgreSQL's text takes every character but NUL, JSON escapes that one, and equal
texts stay equal columns.
"""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from plurality.core.pairs import ResponsePair
from service.domain import Prompt

SCHEMA = 1
"""Raised with every change of a table."""


class AsJson(TypeDecorator[Any]):
    """A value as JSON text, read back as `kind`."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value, type=self.kind)


Key = Text().with_variant(Text(collation="C"), "postgresql")
"""A text of a closed pattern, ordered by code points on both databases."""
Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

schema = Table("feedback_schema", metadata, Column("version", Integer, primary_key=True, autoincrement=False))


def _pair() -> tuple[Column[Any], ...]:
    return (
        Column("prompt", AsJson(Prompt), nullable=False),
        Column("response_a", AsJson(str), nullable=False),
        Column("response_b", AsJson(str), nullable=False),
        Column("source", AsJson(str)),
        Column("model", Key, nullable=False),
        Column("experiment", Key),
        Column("arm", Key),
        Column("created", Float(53), nullable=False),
    )


votes = Table(
    "feedback_votes",
    metadata,
    # Given out under the writers' lock, so in the order of commits, and never twice: a cursor misses nothing.
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("id", Key, nullable=False, unique=True),
    Column("pair", Key, nullable=False),
    *_pair(),
    Column("share_a", Float(53), nullable=False),
    Column("graded", Boolean, nullable=False),
    Column("voter", Key, nullable=False),
    Column("category", AsJson(str)),
    Column("request_id", Key),
    Index("feedback_votes_by_time", "created", "id"),
    Index("feedback_votes_by_pair", "pair", "created", "id"),
    Index("feedback_votes_by_voter", "voter"),
    sqlite_autoincrement=True,
)

predictions = Table(
    "feedback_predictions",
    metadata,
    Column("number", Number, ForeignKey(votes.c.number, ondelete="CASCADE"), primary_key=True),
    Column("digest", Key, primary_key=True),
    Column("reward_a", Float(53), nullable=False),
    Column("reward_b", Float(53), nullable=False),
    Column("probability", Float(53), nullable=False),
)

remembered = Table(
    "feedback_remembered",
    metadata,
    Column("request_id", Key, primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    *_pair(),
    Column("digest", Key, nullable=False),
    Column("reward_a", Float(53), nullable=False),
    Column("reward_b", Float(53), nullable=False),
    Column("probability", Float(53), nullable=False),
    Index("feedback_remembered_by_time", "created"),
)


def pair_key(pair: ResponsePair) -> str:
    """One key for a pair whichever response is called a."""
    content = [pair.prompt, *sorted((pair.response_a, pair.response_b))]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
