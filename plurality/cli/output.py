"""Where verbs that make a file write it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def sink(output: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that appears only when it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    partial = output.with_name(f".{output.name}.partial")
    with partial.open("wb") as file:
        yield file
    partial.replace(output)
