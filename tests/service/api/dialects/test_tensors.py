"""Binary tensors: what was packed is read back; whatever lies about its size is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.dialects.tensors import from_bytes, from_json, rows, to_bytes
from service.errors import MalformedRequest
from tests.service.api.dialects.asking import strings


@settings(max_examples=200)
@given(st.lists(st.text(max_size=20), max_size=8))
def test_texts(texts: list[str]) -> None:
    """Any Unicode, empty elements included, by either way."""
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    assert from_bytes(memoryview(strings(texts)), "BYTES", [len(texts)], "text") == texts
    assert from_json(texts, "BYTES", [len(texts), 1], "text") == texts


@settings(max_examples=100)
@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12), st.sampled_from(["INT64", "INT32"]))
def test_integers(values: list[int], kind: str) -> None:
    """Little-endian, whole elements."""
    data = np.array(values, "<i8" if kind == "INT64" else "<i4").tobytes()
    assert from_bytes(memoryview(data), kind, [len(values)], "tokens") == values
    assert from_json([values], kind, [1, len(values)], "tokens") == values


@settings(max_examples=300)
@given(st.binary(max_size=40), st.sampled_from(["BYTES", "INT64", "INT32", "FP32", "x"]), st.integers(-2, 6))
def test_any_bytes(data: bytes, kind: str, count: int) -> None:
    """Arbitrary bytes are read exactly or refused; nothing else is raised."""
    try:
        values = from_bytes(memoryview(data), kind, [count], "text")
    except MalformedRequest:
        return
    assert len(values) == count


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        (struct.pack("<I", 5) + b"abc", [1]),
        (b"\x01\x00", [1]),
        (struct.pack("<I", 1) + b"\xff", [1]),
        (strings(["a", "b"]), [1]),
        (struct.pack("<I", 2**32 - 1), [1]),
    ],
)
def test_lies(data: bytes, shape: list[int]) -> None:
    """Lengths beyond the body, half a length, no UTF-8, other counts than the shape."""
    with pytest.raises(MalformedRequest):
        from_bytes(memoryview(data), "BYTES", shape, "text")


@pytest.mark.parametrize("data", [[1], ["a", 1], "a", None, [True], [["a"], ["b"]]])
def test_wrong_json(data: object) -> None:
    """Elements of another type or number."""
    with pytest.raises(MalformedRequest):
        from_json(data, "BYTES", [1], "text")


def test_rows() -> None:
    """A matrix in row-major order; a vector is none."""
    assert rows([1, 2, 3, 4], [2, 2], "tokens") == [[1, 2], [3, 4]]
    assert rows([], [0, 7], "tokens") == []
    with pytest.raises(MalformedRequest):
        rows([1], [1], "tokens")
    with pytest.raises(MalformedRequest):  # nothing else would bound the number of rows
        rows([], [10**30, 0], "tokens")
    assert np.frombuffer(to_bytes([0.5, -1.0]), "<f4").tolist() == [0.5, -1.0]
