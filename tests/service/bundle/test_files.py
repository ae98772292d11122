"""Files that are replaced as a whole, or not at all."""

from pathlib import Path

import pytest

from service.bundle.files import replace_file, replacing


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """And no part of the new one beside it."""
    path = tmp_path / "rows.jsonl"
    replace_file(path, b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half of")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
