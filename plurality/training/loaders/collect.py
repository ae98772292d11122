"""What every loader does alike: read fields, orient pairs, and count whatever is left out.

Sets store the better answer first (HH, GPT-J) or one model always first (AlpacaEval): then position is the label, or
the style. `Collector.pair` therefore puts the two answers in an order that depends on their texts alone.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from plurality.core.rows import PreferenceRow, Turn, Votes
from plurality.training.errors import BadRow, DataError

Record = Mapping[str, Any]
"""One record as the set stores it."""
Context = str | tuple[Turn, ...]
"""A prompt, or the conversation that the response answers."""


class WrongRecord(Exception):
    """A record that does not have the set's schema; the message never quotes its values."""


@dataclass(slots=True)
class Loaded:
    """Rows of a set, and what happened on the way to them."""

    rows: list[PreferenceRow] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Pairs that are not among the rows, by reason."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was kept but is worth knowing, by kind: ties, repaired scores."""
    groups: dict[str, str] = field(default_factory=dict)
    """Row id -> what must stay on one side of a split besides the prompt: debate, conversation, post."""
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Row id -> what the set knows beyond the row: worker, policies, confidence, strength. `_a`, `_b` as in the row."""


class Collector:
    """Gathers one set's rows. `loaded` is whole after `finish`."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._loaded = Loaded()
        self._bad: list[BadRow] = []
        self._ids: Counter[str] = Counter()

    @contextmanager
    def record(self, number: int) -> Iterator[None]:
        """Around the reading of one record: a wrong one is remembered, and `finish` names them all."""
        try:
            yield
        except WrongRecord as error:
            self._bad.append(BadRow(number, str(error)))

    def drop(self, reason: str, count: int = 1) -> None:
        """Leave out `count` pairs."""
        if count:
            self._loaded.dropped[reason] += count

    def note(self, kind: str, count: int = 1) -> None:
        """Count a property of a pair that is kept."""
        if count:
            self._loaded.notes[kind] += count

    def pair(
        self,
        identity: str,
        context: Context,
        answers: tuple[str, str],
        *,
        label: float | None = None,
        votes: Votes | None = None,
        margin: float | None = None,
        category: str | None = None,
        group: str | None = None,
        details: Mapping[str, Any] | None = None,
        sides: Mapping[str, tuple[Any, Any]] | None = None,
    ) -> None:
        """Add a pair; `label` is P(first preferred), `votes.a` are votes for the first, unless there are only votes.

        `sides` are details that each answer has of its own, such as the model that wrote it.
        """
        if reason := unusable(context, answers):
            self.drop(reason)
            return
        label = votes.fraction_a if votes and label is None else label
        if label is None:
            raise ValueError("a pair needs a label or votes")
        known = dict(details or {})
        first, second = ("b", "a") if flips(context, answers) else ("a", "b")
        for name, values in (sides or {}).items():
            known |= {f"{name}_{first}": values[0], f"{name}_{second}": values[1]}
        if first == "b":
            answers, label, votes = answers[::-1], 1.0 - label, swapped(votes)
        row = PreferenceRow(
            id=self._unique(identity), source=self.source, response_a=answers[0], response_b=answers[1], label=label,
            votes=votes, margin=margin, category=category,
            prompt=context if isinstance(context, str) else None,
            messages=None if isinstance(context, str) else context,
        )  # fmt: skip
        self._loaded.rows.append(row)
        self.note("ties kept, label 0.5", label == 0.5)
        if group is not None:
            self._loaded.groups[row.id] = group
        if known:
            self._loaded.details[row.id] = known

    def finish(self) -> Loaded:
        """The whole of it.

        Raises:
            DataError: records that do not have the set's schema, each with its number.
        """
        if self._bad:
            raise DataError(f"records of {self.source}", self._bad)
        return self._loaded

    def _unique(self, identity: str) -> str:
        whole = f"{self.source}/{identity}"
        self._ids[whole] += 1
        return whole if self._ids[whole] == 1 else f"{whole}#{self._ids[whole]}"


def numbered(records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    """Records with their 1-based numbers, by which messages name them."""
    return enumerate(records, start=1)


def unusable(context: Context, answers: tuple[str, str]) -> str | None:
    """Why a pair cannot teach anything; None if it can."""
    texts = [context] if isinstance(context, str) else [turn.content for turn in context]
    if not any(text.strip() for text in texts):
        return "the prompt is empty"
    if not all(answer.strip() for answer in answers):
        return "an answer is empty"
    return "both answers are the same" if answers[0].strip() == answers[1].strip() else None


def flips(context: Context, answers: tuple[str, str]) -> bool:
    """Whether the second answer becomes a. Depends on the texts alone, never on label, position or file order."""
    prompt = context if isinstance(context, str) else "\x1e".join(f"{turn.role}\x1f{turn.content}" for turn in context)
    keys = [hashlib.sha256(f"{prompt}\x1d{answer}".encode()).digest() for answer in answers]
    return keys[0] > keys[1]


def swapped(votes: Votes | None) -> Votes | None:
    """The votes as seen from the other side."""
    return votes and Votes(a=votes.b, b=votes.a, tie=votes.tie)


def preferred(first: float, second: float) -> float:
    """P(first preferred) of two scores: the higher wins, equal is a tie (WebGPT's card)."""
    return 0.5 if first == second else float(first > second)


def field_of(record: Record, *path: str) -> Any:
    """A nested field.

    Raises:
        WrongRecord: it is not there.
    """
    value: Any = record
    for depth, name in enumerate(path, start=1):
        if not isinstance(value, Mapping) or name not in value:
            raise WrongRecord(f"no field {'.'.join(path[:depth])}; it has {_fields(value)}")
        value = value[name]
    return value


def text_of(record: Record, *path: str) -> str:
    """A nested field that is a text."""
    value = field_of(record, *path)
    if not isinstance(value, str):
        raise WrongRecord(f"{'.'.join(path)} is not a text")
    return value


def number_of(record: Record, *path: str) -> float:
    """A nested field that is a finite number; CSV files hold numbers as texts."""
    value = field_of(record, *path)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise WrongRecord(f"{'.'.join(path)} is not a number")
    return number


def list_of(record: Record, *path: str) -> Sequence[Any]:
    """A nested field that is a list."""
    value = field_of(record, *path)
    if not isinstance(value, list | tuple):
        raise WrongRecord(f"{'.'.join(path)} is not a list")
    return value


def objects_of(record: Record, *path: str) -> list[Record]:
    """A nested list of objects; `datasets` turns some of them into an object of lists, which is turned back."""
    value = field_of(record, *path)
    if isinstance(value, Mapping) and value and all(isinstance(column, list) for column in value.values()):
        if len({len(column) for column in value.values()}) != 1:
            raise WrongRecord(f"the lists of {'.'.join(path)} differ in length")
        return [dict(zip(value, entry, strict=True)) for entry in zip(*value.values(), strict=True)]
    entries = list_of(record, *path)
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise WrongRecord(f"{'.'.join(path)} holds something that is no object")
    return list(entries)


def _fields(value: Any) -> str:
    if not isinstance(value, Mapping):
        return "no fields"
    names = [str(name)[:40] for name in list(value)[:12]]
    return ", ".join(names) or "no fields"
