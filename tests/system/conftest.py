"""System tests need programs that `make test-system` installs; otherwise they are skipped."""

import os
from pathlib import Path

import pytest

ASKED = "TEST_SYSTEM"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder's tests unless they were asked for."""
    if os.environ.get(ASKED) == "1":
        return
    skip = pytest.mark.skip(reason=f"{ASKED}=1 is not set: `make test-system` installs what these need")
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(skip)
