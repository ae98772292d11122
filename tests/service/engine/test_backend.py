"""Wide while alone, narrow beside others."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.domain import Batch
from service.engine.backend import DualSessionBackend, pad
from service.errors import InferenceFailed
from tests.fakes import POISON, ScriptedBackend, encoding


def batch(*ids: int) -> Batch:
    return pad([encoding(*ids)], 0)


def test_wide_only_while_alone() -> None:
    """The first call of two that overlap is wide, the second narrow, and the next lone one wide again."""
    narrow, wide = ScriptedBackend(), ScriptedBackend()
    both = DualSessionBackend(narrow, wide)
    wide.gate.clear()
    with ThreadPoolExecutor(1) as worker:
        first = worker.submit(both.run, batch(1))
        wide.entered.acquire()
        assert both.run(batch(2)) == np.float32(2)
        wide.gate.set()
        assert first.result() == np.float32(1)
    both.run(batch(3))
    assert (narrow.executed, wide.executed) == ([(2,)], [(1,), (3,)])


def test_a_failing_call_is_counted_out() -> None:
    """After an error the next lone call is wide."""
    narrow, wide = ScriptedBackend(), ScriptedBackend()
    both = DualSessionBackend(narrow, wide)
    with pytest.raises(InferenceFailed):
        both.run(batch(POISON))
    both.run(batch(4))
    assert wide.executed[-1] == (4,)
    assert narrow.executed == []


def test_many_lanes() -> None:
    """From many threads every call runs once, and the count comes back to nothing."""
    narrow, wide = ScriptedBackend(), ScriptedBackend()
    both = DualSessionBackend(narrow, wide)
    start = threading.Barrier(8)

    def worker(number: int) -> None:
        start.wait(30)
        for step in range(50):
            assert both.run(batch(number + 1, step + 1)) == np.float32(number + step + 2)

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(worker, range(8)))
    assert len(narrow.executed) + len(wide.executed) == 400
    both.run(batch(9))
    assert wide.executed[-1] == (9,)


def test_closing_closes_both() -> None:
    """Neither engine outlives it."""
    narrow, wide = ScriptedBackend(), ScriptedBackend()
    DualSessionBackend(narrow, wide).close()
    assert narrow.closed
    assert wide.closed
