"""Measures an engine: the time of a call by batch size and length, and the fastest number of workers x threads.

Bounded in time: cells are measured from the cheapest up; those beyond the budget are left to the cost model.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from service.domain import Batch
from service.engine.backend import Backend
from service.engine.policy import Cell

_LENGTHS = (16, 64, 128, 256, 512, 1024, 2048, 4096)
_REPEATS = 3
_RACE_TOKENS = 128
_RACE_CALLS = 3
_CLEARLY = 1.05
"""Least gain in throughput for more workers: with one, a lone request has all the cores."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The range of shapes that the engine will be called with."""

    max_items: int
    max_length: int
    max_tokens: int
    """Largest padded batch that is worth measuring."""
    token_id: int
    """Any token; the time does not depend on which."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The measurements of one version on this machine."""

    workers: int
    threads: int
    cells: tuple[Cell, ...]


def measure_cells(backend: Backend, shape: Shape, *, budget_s: float) -> tuple[Cell, ...]:
    """Time single texts of growing length, then batches of growing size; the least of a few runs each.

    Returns:
        At least one cell of a single text, however slow the engine is.
    """
    stop = time.perf_counter() + budget_s
    cells: list[Cell] = []
    for items, tokens in _grid(shape):
        expected = _expected(cells, items, tokens)
        if expected and time.perf_counter() + expected > stop:
            continue
        seconds = _timed(backend, _filled(shape, items, tokens), stop)
        cells.append(Cell(items, tokens, seconds))
    return tuple(cells)


def _grid(shape: Shape) -> Iterator[tuple[int, int]]:
    """Shapes by batch size, then by length."""
    lengths = sorted({min(length, shape.max_length) for length in _LENGTHS})
    items = 1
    while items <= shape.max_items:
        for tokens in lengths:
            if items == 1 or items * tokens <= shape.max_tokens:
                yield items, tokens
        items *= 2


def _expected(cells: Sequence[Cell], items: int, tokens: int) -> float:
    """Rough time of a shape from the slowest seconds per token so far; 0 if nothing is known."""
    return max((cell.seconds / (cell.items * cell.tokens) for cell in cells[-3:]), default=0.0) * items * tokens


def _timed(backend: Backend, batch: Batch, stop: float) -> float:
    least = float("inf")
    for _ in range(_REPEATS):
        started = time.perf_counter()
        backend.run(batch)
        ended = time.perf_counter()
        least = min(least, ended - started)
        if ended + least > stop:
            break
    return least


def _filled(shape: Shape, items: int, tokens: int) -> Batch:
    ids_BT = np.full((items, tokens), shape.token_id, dtype=np.int64)
    return Batch(ids_BT, np.ones_like(ids_BT), np.zeros_like(ids_BT))


def fastest_split(backends: Mapping[int, Backend], cores: int, shape: Shape, *, rounds: int = 3) -> tuple[int, int]:
    """Measure throughput by workers x threads, in interleaved rounds; more workers win only if clearly faster.

    Args:
        backends: an engine by its number of threads; `cores // threads` workers call it at once.

    Returns:
        (workers, threads).
    """
    batch = _filled(shape, 1, min(_RACE_TOKENS, shape.max_length))
    rates: dict[int, list[float]] = {threads: [] for threads in backends}
    for _ in range(rounds):
        for threads, backend in backends.items():
            rates[threads].append(_rate(backend, batch, workers=cores // threads))
    winner = pick(rates)
    return cores // winner, winner


def pick(rates: Mapping[int, Sequence[float]]) -> int:
    """The number of threads whose median rate is clearly the best; the larger number where none is clearly better."""
    best, *others = sorted(rates, reverse=True)
    for threads in others:
        if np.median(rates[threads]) > _CLEARLY * np.median(rates[best]):
            best = threads
    return best


def _rate(backend: Backend, batch: Batch, *, workers: int) -> float:
    """Calls a second of `workers` threads together."""
    with ThreadPoolExecutor(workers) as pool:
        started = time.perf_counter()
        list(pool.map(backend.run, [batch] * (workers * _RACE_CALLS)))
        return workers * _RACE_CALLS / (time.perf_counter() - started)
