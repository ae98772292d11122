"""Records from local files: .jsonl, .json (one list), .csv, .parquet, each but the last also as .gz."""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.load import decoded, json_lines, parquet_rows
from plurality.training.loaders.collect import Record

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_LONGEST_FIELD = 100_000_000
"""Characters of one CSV field; Python's default of 131,072 is shorter than some articles."""


def read_records(path: Path) -> list[Record]:
    """All records of a file, in order.

    Raises:
        TrainingError: no such file, an unknown suffix, a damaged file, or no records.
        DataError: lines that are not JSON objects, each named.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in SUFFIXES or (kind == ".parquet" and path.suffix == ".gz"):
        raise TrainingError(f"{path.name}: expected {', '.join(SUFFIXES)} (all but the last may end in .gz)")
    if not path.is_file():
        raise TrainingError(f"{path}: no such file")
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _csv, ".parquet": parquet_rows}
    try:
        records = [_object(number, raw) for number, raw in readers[kind](path)]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path.name}: cannot be read as {kind} ({type(error).__name__}: {error})") from None
    if bad := [record for record in records if isinstance(record, BadRow)]:
        raise DataError(path.name, bad)
    if not records:
        raise TrainingError(f"{path.name} holds no records")
    return [record for record in records if not isinstance(record, BadRow)]


def _object(number: int, raw: Any) -> Record | BadRow:
    if isinstance(raw, dict | BadRow):
        return raw
    return BadRow(number, "not an object")


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with _open(path) as file:
        yield from json_lines(file)


def _json(path: Path) -> Iterator[tuple[int, Any]]:
    with _open(path) as file:
        content = decoded(1, file.read())
    if isinstance(content, list):
        yield from enumerate(content, start=1)
    else:
        yield 1, content if isinstance(content, BadRow) else BadRow(1, "not a list of objects")


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    with io.TextIOWrapper(_open(path), encoding="utf-8-sig", newline="") as text:
        yield from enumerate(csv.DictReader(text), start=1)


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")
