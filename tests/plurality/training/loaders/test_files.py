"""Records from files: every format alike, and every problem with its cause."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from plurality.training.errors import DataError, TrainingError
from plurality.training.loaders.files import read_records

RECORDS: list[dict[str, Any]] = [{"q": "émigré\n\u2028 🙂", "n": "1"}, {"q": 'x,"y"', "n": "2"}]


def content(kind: str) -> bytes:
    if kind == ".jsonl":
        return b"\n".join(json.dumps(record).encode() for record in RECORDS) + b"\n\n"
    if kind == ".json":
        return json.dumps(RECORDS).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, ["q", "n"])
    writer.writeheader()
    writer.writerows(RECORDS)
    return text.getvalue().encode()


@pytest.mark.parametrize("kind", [".jsonl", ".json", ".csv"])
@pytest.mark.parametrize("packed", [False, True])
def test_formats_agree(tmp_path: Path, kind: str, packed: bool) -> None:
    """The same records from each format, packed or not."""
    path = tmp_path / f"records{kind}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(content(kind)) if packed else content(kind))
    assert read_records(path) == RECORDS


def test_parquet(tmp_path: Path) -> None:
    """Parquet too, over several row groups; nested fields stay nested."""
    records = [{"q": str(i), "turns": [{"role": "user"}]} for i in range(5)]
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "r.parquet", row_group_size=2)
    assert read_records(tmp_path / "r.parquet") == records


def test_long_csv_fields(tmp_path: Path) -> None:
    """An article longer than Python's own limit for a CSV field."""
    path = tmp_path / "r.csv"
    path.write_text("q\n" + "x" * 200_000 + "\n")
    assert len(read_records(path)[0]["q"]) == 200_000


def test_bad_lines_named(tmp_path: Path) -> None:
    """All lines that are no objects are named, without their content."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"q": 1}\n{secret\n\n[1]\n' + b"[" * 100_000 + b"\n")
    with pytest.raises(DataError) as caught:
        read_records(path)
    assert [row.line for row in caught.value.rows] == [2, 4, 5]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("r.txt", b"", "expected .jsonl"),
        ("r.parquet.gz", b"", "expected .jsonl"),
        ("r.jsonl", None, "no such file"),
        ("r.jsonl", b"\n", "holds no records"),
        ("r.csv", b"a,b\n", "holds no records"),
        ("r.csv", b"a\n\xff\n", "cannot be read as .csv"),
        ("r.jsonl.gz", b"not packed", "cannot be read as .jsonl"),
        ("r.json.gz", gzip.compress(b"[" + b"1," * 999, mtime=0)[:20], "cannot be read as .json"),
        ("r.parquet", b"not parquet at all", "not a Parquet file"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, raw: bytes | None, message: str) -> None:
    """Each problem says what it is."""
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(TrainingError, match=message):
        read_records(tmp_path / name)


def test_json_must_be_a_list(tmp_path: Path) -> None:
    """One object, or broken JSON, is no list of records."""
    for raw, message in ((b"{}", "not a list of objects"), (b"[", "not JSON")):
        (tmp_path / "r.json").write_bytes(raw)
        with pytest.raises(DataError, match=message):
            read_records(tmp_path / "r.json")
