"""Profiling an engine whose times are known: what is measured, what is left out, who wins the race."""

from collections.abc import Callable

import numpy as np
import pytest

from service.domain import Batch, Float32
from service.engine import profile as module
from service.engine.profile import Shape, fastest_split, measure_cells, pick

SHAPE = Shape(max_items=4, max_length=300, max_tokens=1024, token_id=7)


class Clock:
    """Time that only engine calls move."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class TimedBackend:
    """An engine that takes as long as a function of (items, tokens) says, on the clock of the test."""

    def __init__(self, clock: Clock, seconds: Callable[[int, int], float]) -> None:
        self.clock, self.seconds = clock, seconds
        self.shapes: list[tuple[int, int]] = []

    def run(self, batch: Batch) -> Float32:
        items, tokens = batch.input_ids_BT.shape
        self.shapes.append((items, tokens))
        assert (batch.input_ids_BT == SHAPE.token_id).all()
        assert batch.attention_mask_BT.all()
        self.clock.now += self.seconds(items, tokens)
        return np.zeros(items, dtype=np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_every_cell_within_the_budget(clock: Clock) -> None:
    """A fast engine: the whole grid, each cell its own time, the longest length included."""
    cells = measure_cells(TimedBackend(clock, lambda b, n: 1e-6 * b * n), SHAPE, budget_s=1.0)
    assert {(cell.items, cell.tokens) for cell in cells} == {
        *((1, n) for n in (16, 64, 128, 256, 300)),
        *((2, n) for n in (16, 64, 128, 256, 300)),
        *((4, n) for n in (16, 64, 128, 256)),
    }
    assert all(cell.seconds == pytest.approx(1e-6 * cell.items * cell.tokens) for cell in cells)


@pytest.mark.parametrize("token_s", [1e-4, 1e-3, 1e-2, 1.0])
def test_the_budget_holds(clock: Clock, token_s: float) -> None:
    """Slow engines are measured on what fits; the first cell always is, for a cost model needs one."""
    backend = TimedBackend(clock, lambda b, n: token_s * b * n)
    cells = measure_cells(backend, SHAPE, budget_s=1.0)
    first = token_s * 16
    assert clock.now <= max(1.0, first) + 1e-9
    assert cells[0].tokens == 16
    assert all(cell.seconds == pytest.approx(token_s * cell.items * cell.tokens) for cell in cells)


def test_more_lanes_must_be_clearly_faster() -> None:
    """By the medians, so that one bad round decides nothing; within 5% the larger number of threads stays."""
    assert pick({4: [10, 10, 10], 1: [11, 11, 1]}) == 1
    assert pick({4: [10, 10, 10], 1: [10.4, 10.4, 99]}) == 4
    assert pick({4: [10], 2: [20], 1: [30]}) == 1
    assert pick({4: [10], 2: [20], 1: [20.5]}) == 2


def test_the_race_runs_every_split() -> None:
    """Each candidate is called by all of its workers, in every round, with one text of the race's length."""
    clock = Clock()
    backends = {threads: TimedBackend(clock, lambda b, n: 0.0) for threads in (4, 2, 1)}
    workers, threads = fastest_split(backends, 4, SHAPE, rounds=2)
    assert workers * threads == 4
    assert {threads: len(backend.shapes) for threads, backend in backends.items()} == {4: 6, 2: 12, 1: 24}
    assert {shape for backend in backends.values() for shape in backend.shapes} == {(1, 128)}
