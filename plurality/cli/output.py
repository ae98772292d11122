"""Where verbs that make a file write it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from service.bundle.files import replacing


@contextmanager
def sink(output: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that appears only when it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    with replacing(output) as file:
        yield file
