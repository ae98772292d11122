"""Read preference rows from JSONL or Parquet. Nothing is dropped: every bad row is named with its line and cause."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
from pydantic import ValidationError

from plurality.core.rows import ComparedRow, PreferenceRow
from plurality.training.errors import BadRow, DataError, TrainingError

Row = TypeVar("Row", bound=ComparedRow)
_LONGEST_PLACE = 100
"""Of a field's name in a message: an unknown field's name is the file's own text."""


def load_rows(path: Path) -> list[PreferenceRow]:
    """Read a `.jsonl` or `.parquet` file of canonical rows, all labeled; errors as of `read_rows`."""
    return read_rows(path, PreferenceRow)


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """Read a `.jsonl` or `.parquet` file of rows, labeled or not; `id` defaults to the line number.

    Raises:
        DataError: with all bad rows (not JSON, a wrong type, an unknown field, a repeated id).
        TrainingError: no such file, an unknown suffix, or no rows at all.
    """
    readers = {".jsonl": _jsonl, ".parquet": _parquet}
    if path.suffix not in readers:
        raise TrainingError(f"{path.name}: expected a .jsonl or .parquet file")
    if not path.is_file():
        raise TrainingError(f"{path}: no such file")
    rows: list[Row] = []
    bad: list[BadRow] = []
    seen: dict[str, int] = {}
    for line, raw in readers[path.suffix](path):
        result = _parse(line, raw, kind)
        if not isinstance(result, BadRow) and (first := seen.setdefault(result.id, line)) != line:
            result = BadRow(line, f"id is the same as on line {first}")
        if isinstance(result, BadRow):
            bad.append(result)
        else:
            rows.append(result)
    if bad:
        raise DataError(path.name, bad)
    if not rows:
        raise TrainingError(f"{path.name} holds no rows")
    return rows


def file_digest(path: Path) -> str:
    """sha256 of a data file, for provenance."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        yield from json_lines(file)


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    return ((number, _without_nulls(raw)) for number, raw in parquet_rows(path))


def json_lines(file: IO[bytes]) -> Iterator[tuple[int, Any]]:
    """Every line that is not blank with its number: its value, or a BadRow."""
    return ((number, decoded(number, line)) for number, line in enumerate(file, start=1) if line.strip())


def decoded(number: int, content: bytes) -> Any:
    """A JSON value, or a BadRow of this number."""
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        return BadRow(number, "not JSON that anybody writes: nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return BadRow(number, f"not JSON: {error}")


def parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Every row with its number; raises TrainingError where the file is damaged."""
    import pyarrow as pa  # noqa: PLC0415 - only this format needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        table = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise TrainingError(f"{path.name}: not a Parquet file ({str(error).splitlines()[0]})") from None
    number = 0
    try:
        for batch in table.iter_batches():
            for raw in batch.to_pylist():
                number += 1
                yield number, raw
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path.name}: damaged after row {number} ({str(error).splitlines()[0]})") from None


def _without_nulls(value: Any) -> Any:
    """Parquet has a column for every field, also in structs: null is how it leaves one out."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return [_without_nulls(part) for part in value] if isinstance(value, list) else value


def _parse(line: int, raw: Any, kind: type[Row]) -> Row | BadRow:
    if isinstance(raw, BadRow):
        return raw
    if not isinstance(raw, dict):
        return BadRow(line, "not an object")
    try:
        return kind.model_validate({"id": f"line-{line}", **raw})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:_LONGEST_PLACE]
        return BadRow(line, f"{place}: {first['msg']}" if place else str(first["msg"]))
