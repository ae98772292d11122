"""Reading rows: equal from both formats, and nothing bad goes unnamed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from plurality.core.rows import PreferenceRow
from plurality.training.errors import BadRow, DataError, TrainingError
from plurality.training.load import file_digest, load_rows
from tests.plurality.training.data import planted, raw_row, write_jsonl

MIXED = [
    raw_row(id="plain", prompt="émigré 中文 🙂\u2028\x00", category="c", true_preference=0.3),
    raw_row(id="votes", votes={"a": 3, "b": 1}),
    raw_row(id="ties", votes={"a": 3, "b": 1, "tie": 2}, margin=0.5),
    raw_row(id="chat", prompt=None, messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]),
    raw_row(id="tie", label=0.5, source="s", response_a=""),
]
"""Every optional field there in one row and left out in another."""
GOOD = json.dumps(raw_row()).encode()


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows, schema=_schema(rows)), path)
    return path


def _schema(rows: list[dict[str, Any]]) -> pa.Schema:
    """Of all the rows: `from_pylist` alone takes the columns of the first."""
    return pa.unify_schemas([pa.Table.from_pylist([row]).schema for row in rows])


def bad_rows(path: Path) -> tuple[BadRow, ...]:
    with pytest.raises(DataError) as caught:
        load_rows(path)
    return caught.value.rows


def parquet_schema() -> pa.Schema:
    return pa.schema({
        "id": pa.string(), "source": pa.string(), "prompt": pa.string(),
        "messages": pa.list_(pa.struct({"role": pa.string(), "content": pa.string()})),
        "response_a": pa.string(), "response_b": pa.string(), "label": pa.float64(),
        "votes": pa.struct({"a": pa.int64(), "b": pa.int64(), "tie": pa.int64()}),
        "margin": pa.float64(), "category": pa.string(), "true_preference": pa.float64(),
    })  # fmt: skip


def test_formats_agree(tmp_path: Path) -> None:
    """The same rows from JSONL and from Parquet, where null stands for what is left out, are equal."""
    expected = [PreferenceRow.model_validate(raw) for raw in MIXED]
    pq.write_table(pa.Table.from_pylist(MIXED, schema=parquet_schema()), tmp_path / "rows.parquet")
    assert load_rows(write_jsonl(tmp_path / "rows.jsonl", MIXED)) == expected
    assert load_rows(tmp_path / "rows.parquet") == expected


@hypothesis_settings(max_examples=50)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20), st.floats(0, 1)), min_size=1, max_size=5))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str, float]]) -> None:
    """Any text and any label come back as written, from both formats."""
    raw = [raw_row(id=str(i), prompt=a, response_a=a, response_b=b, label=y) for i, (a, b, y) in enumerate(texts)]
    expected = [PreferenceRow.model_validate(entry) for entry in raw]
    folder = tmp_path_factory.mktemp("rows")
    assert load_rows(write_jsonl(folder / "rows.jsonl", raw)) == expected
    assert load_rows(write_parquet(folder / "rows.parquet", raw)) == expected


def test_model_dump_loads(tmp_path: Path) -> None:
    """A row written with its nulls (`model_dump`) loads as it was."""
    expected = [PreferenceRow.model_validate(raw) for raw in MIXED]
    assert load_rows(write_jsonl(tmp_path / "r.jsonl", [row.model_dump(mode="json") for row in expected])) == expected


def test_id_is_line_number(tmp_path: Path) -> None:
    """A row without an id gets its line number, which blank lines count towards; CRLF and no last newline are fine."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n" + GOOD + b"\r\n   \n" + GOOD)
    assert [row.id for row in load_rows(path)] == ["line-2", "line-4"]


BAD_LINES: list[tuple[bytes, str]] = [
    (b"{oops", "not JSON"),
    (json.dumps(raw_row(label="1")).encode(), "label: Input should be a valid number"),
    (json.dumps(raw_row(label=2)).encode(), "label: Input should be less than or equal to 1"),
    (json.dumps(raw_row(lable=1)).encode(), "lable: Extra inputs are not permitted"),
    (json.dumps(raw_row(label=float("nan"))).encode(), "not JSON"),
    (json.dumps(raw_row(prompt="\ud800")).encode(), "not JSON"),
    (b'{"prompt": "\xff"}', "not JSON"),
    (b"[1, 2]", "not an object"),
    (b"null", "not an object"),
    (json.dumps(raw_row(response_b=None)).encode(), "response_b: Field required"),
    (json.dumps(raw_row(prompt=None)).encode(), "give either prompt or messages"),
    (json.dumps(raw_row(votes={"a": 0, "b": 0})).encode(), "votes: Value error, votes are all zero"),
    (json.dumps(raw_row(id="same")).encode(), "id is the same as on line 1"),
    (json.dumps(raw_row(id=7)).encode(), "id: Input should be a valid string"),
    (b"[" * 100_000, "not JSON"),
]


def test_every_bad_row_named(tmp_path: Path) -> None:
    """All bad rows are named with their lines and causes, not only the first, and in order."""
    path = tmp_path / "rows.jsonl"
    first = json.dumps(raw_row(id="same")).encode()
    path.write_bytes(b"\n".join([first, *(line for bad, _ in BAD_LINES for line in (bad, GOOD, b""))]))
    found = bad_rows(path)
    assert [row.line for row in found] == [2 + 3 * i for i in range(len(BAD_LINES))]
    for row, (_, cause) in zip(found, BAD_LINES, strict=True):
        assert cause in row.cause


def test_message_names_lines(tmp_path: Path) -> None:
    """The message alone says which file, which line and what is wrong."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD + b"\n{}\n")
    with pytest.raises(DataError) as caught:
        load_rows(path)
    assert str(caught.value) == "rows.jsonl: 1 row(s) cannot be used\n  line 2: response_a: Field required"


def test_message_bounded(tmp_path: Path) -> None:
    """However many rows are bad and however long their fields' names, the message stays short; `rows` holds all."""
    path = write_jsonl(tmp_path / "rows.jsonl", [raw_row(**{"x" * 100_000: 1})] * 3 + [{}] * 1000)
    with pytest.raises(DataError) as caught:
        load_rows(path)
    assert len(caught.value.rows) == 1003
    assert len(str(caught.value)) < 5000
    assert "and 983 more" in str(caught.value)


def test_message_keeps_text_out(tmp_path: Path) -> None:
    """A cause never quotes a row's values."""
    path = write_jsonl(tmp_path / "rows.jsonl", [raw_row(label="secret"), raw_row(response_a=["secret"])])
    assert not any("secret" in row.cause for row in bad_rows(path))


def test_repeated_ids_all_named(tmp_path: Path) -> None:
    """Every repetition points to the first row with that id, also where a default id was taken by hand."""
    path = write_jsonl(tmp_path / "r.jsonl", [raw_row(id="x"), raw_row(id="x"), raw_row(id="line-4"), raw_row()])
    assert bad_rows(path) == (BadRow(2, "id is the same as on line 1"), BadRow(4, "id is the same as on line 3"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "holds no rows"),
        ("blank.jsonl", b"\n \n", "holds no rows"),
        ("rows.csv", b"a,b", "expected a .jsonl or .parquet file"),
        ("rows", b"", "expected a .jsonl or .parquet file"),
        ("text.parquet", b"not a parquet file at all", "not a Parquet file"),
        ("empty.parquet", b"", "not a Parquet file"),
        ("missing.jsonl", None, "no such file"),
        ("missing.parquet", None, "no such file"),
    ],
)
def test_unusable_file(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    """A file that holds no rows at all is a TrainingError that says why."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        load_rows(tmp_path / name)


def test_directory_is_no_file(tmp_path: Path) -> None:
    """A directory with the right suffix is no file."""
    (tmp_path / "rows.jsonl").mkdir()
    with pytest.raises(TrainingError, match="no such file"):
        load_rows(tmp_path / "rows.jsonl")


def test_parquet_without_rows(tmp_path: Path) -> None:
    """Columns without rows are no data."""
    pq.write_table(parquet_schema().empty_table(), tmp_path / "rows.parquet")
    with pytest.raises(TrainingError, match="holds no rows"):
        load_rows(tmp_path / "rows.parquet")


def test_parquet_damaged_inside(tmp_path: Path) -> None:
    """A Parquet file whose pages are damaged is a TrainingError too, not a library's error."""
    path = write_parquet(tmp_path / "rows.parquet", planted(100))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 60 + content[64:])
    with pytest.raises(TrainingError, match=r"rows\.parquet: damaged"):
        load_rows(path)


def test_parquet_bad_text(tmp_path: Path) -> None:
    """A string column that is not UTF-8 is a TrainingError."""
    columns = {key: [value] for key, value in raw_row(prompt=None).items()}
    prompt = pa.array([b"\xff\xfe"], pa.binary()).view(pa.string())
    pq.write_table(pa.table(columns | {"prompt": prompt}), tmp_path / "rows.parquet")
    with pytest.raises(TrainingError, match="damaged after row 0"):
        load_rows(tmp_path / "rows.parquet")


def test_parquet_bad_rows_named(tmp_path: Path) -> None:
    """Bad rows of a Parquet file are named by their row: NaN, out of range, a null that is needed, a repeated id."""
    rows = [raw_row(id=str(i)) for i in range(5)]
    rows[1]["label"], rows[2]["label"], rows[3]["response_a"], rows[4]["id"] = float("nan"), 3.0, None, "0"
    found = bad_rows(write_parquet(tmp_path / "rows.parquet", rows))
    assert [row.line for row in found] == [2, 3, 4, 5]
    assert "finite" in found[0].cause
    assert found[2].cause == "response_a: Field required"
    assert found[3].cause == "id is the same as on line 1"


def test_parquet_unknown_column(tmp_path: Path) -> None:
    """An unknown column is named in every row that fills it."""
    found = bad_rows(write_parquet(tmp_path / "r.parquet", [raw_row(id="0"), raw_row(id="1", chosen="x")]))
    assert found == (BadRow(2, "chosen: Extra inputs are not permitted"),)


def test_file_digest(tmp_path: Path) -> None:
    """The digest is sha256 of the bytes."""
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    assert file_digest(tmp_path / "rows.jsonl") == hashlib.sha256(GOOD).hexdigest()
