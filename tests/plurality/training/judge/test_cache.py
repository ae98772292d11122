"""The cache survives what can happen to it, or says where it is damaged."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plurality.training.errors import DataError, TrainingError
from plurality.training.judge.cache import Cache
from plurality.training.judge.replies import Answer, JudgeReply, Place, Usage


def heard(index: int) -> JudgeReply:
    answers = (Answer(f"Choice: A\n{index}", (Place(" A", ((" A", -0.1), (" B", -2.0 - index))),)),)
    return JudgeReply(f"key-{index}", answers, 40, Usage(10, 2), "served", "2026-01-01T00:00:00+00:00")


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    """Also what was appended after a restart; and what the endpoint counted."""
    path = tmp_path / "deep" / "cache.jsonl"
    for start in (0, 3):
        with Cache(path) as cache:
            for index in range(start, start + 3):
                cache.put(heard(index))
    with Cache(path) as cache:
        assert len(cache) == 6
        assert [cache.get(f"key-{index}") for index in range(6)] == [heard(index) for index in range(6)]
        assert cache.get("other") is None
        assert "key-5" in cache
        assert (cache.prompt_tokens, cache.characters, cache.answer_tokens, cache.answers) == (60, 240, 12, 6)


@given(st.integers(0, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_torn_end_costs_one_reply(tmp_path: Path, cut: int) -> None:
    """Cut anywhere, whole lines are there, the torn one is not, and the file goes on as if nothing had been."""
    path = tmp_path / "cache.jsonl"
    path.unlink(missing_ok=True)
    with Cache(path) as cache:
        for index in range(3):
            cache.put(heard(index))
    whole = path.read_bytes()
    path.write_bytes(whole[: max(0, len(whole) - cut)])
    kept = path.read_bytes().count(b"\n")
    with Cache(path) as cache:
        assert len(cache) == kept
        for index in range(kept, 3):
            cache.put(heard(index))
    assert path.read_bytes() == whole


def test_damage_elsewhere_is_named(tmp_path: Path) -> None:
    """A bad line before the end is not the work of a crash."""
    path = tmp_path / "cache.jsonl"
    with Cache(path) as cache:
        cache.put(heard(0))
    path.write_bytes(b"junk\n" + path.read_bytes() + b"{}\n")
    with pytest.raises(DataError) as caught:
        Cache(path)
    assert [row.line for row in caught.value.rows] == [1, 3]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    """Two writers would tear each other's lines; after the first has ended the second may."""
    path = tmp_path / "cache.jsonl"
    with Cache(path), pytest.raises(TrainingError, match="another run"):
        Cache(path)
    with Cache(path):
        pass
