"""Cores and fingerprint: a container's limit counts, and a profile is only used where it was measured."""

import os
from pathlib import Path

import pytest

from service.engine.machine import cores, fingerprint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("max 100000", None), ("50000 100000", 1), ("100000 100000", 1), ("100000000 100000", None), ("broken", None)],
)
def test_a_container_limit_counts(tmp_path: Path, text: str, expected: int | None) -> None:
    """The quota rounded up, never more than the affinity; without a readable quota the affinity."""
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert cores(quota_file=file) == (expected or len(os.sched_getaffinity(0)))


def test_no_quota_file(tmp_path: Path) -> None:
    """Outside a container: the affinity."""
    assert cores(quota_file=tmp_path / "absent") == len(os.sched_getaffinity(0))


def test_the_fingerprint_follows_what_was_asked() -> None:
    """The same question gives the same digits, another one others."""
    assert fingerprint(device="cpu", threads=None) == fingerprint(threads=None, device="cpu")
    assert fingerprint(device="cpu", threads=None) != fingerprint(device="cpu", threads=1)
