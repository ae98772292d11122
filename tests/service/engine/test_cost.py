"""The cost model: exact on what was measured, monotone everywhere, no gain where nothing was measured."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.cost import MIN_GAIN, Cell, CostModel

exact = settings(max_examples=200)
seconds = st.floats(1e-6, 10.0)
singles = st.dictionaries(st.integers(1, 600), seconds, min_size=1, max_size=5)
batches = st.dictionaries(st.tuples(st.integers(2, 12), st.integers(1, 600)), seconds, max_size=8)


def model(singles: dict[int, float], batches: dict[tuple[int, int], float], max_items: int = 8) -> CostModel:
    cells = [Cell(1, tokens, s) for tokens, s in singles.items()]
    cells += [Cell(items, tokens, s) for (items, tokens), s in batches.items()]
    return CostModel(cells, max_items=max_items, max_tokens=512)


@exact
@given(singles, batches, st.integers(1, 8), st.integers(1, 511))
def test_never_falls(one: dict[int, float], many: dict[tuple[int, int], float], items: int, tokens: int) -> None:
    """A longer or larger call never costs less, whatever noise was measured."""
    cost = model(one, many)
    assert cost.seconds(items, tokens) > 0
    assert cost.seconds(items, tokens) <= cost.seconds(items, tokens + 1)
    if items < 8:
        assert cost.seconds(items, tokens) <= cost.seconds(items + 1, tokens)


@exact
@given(singles)
def test_what_was_not_measured_is_no_gain(one: dict[int, float]) -> None:
    """With single texts alone measured, batching never looks useful."""
    assert model(one, {}).max_useful_batch == 1


def test_measured_cells_come_back() -> None:
    """At a measured shape the prediction is the measurement, less the margin that a batch must earn."""
    cost = model({64: 0.010, 256: 0.050}, {(4, 64): 0.020})
    assert cost.seconds(1, 64) == pytest.approx(0.010)
    assert cost.seconds(1, 160) == pytest.approx(0.030)
    assert cost.seconds(1, 512) == pytest.approx(0.050 + (512 - 256) * 0.040 / 192)
    assert cost.seconds(4, 64) == pytest.approx(0.020 * (1 + MIN_GAIN))
    assert cost.max_useful_batch >= 4
    assert cost.seconds(4, 256) == pytest.approx(0.2 * (1 + MIN_GAIN)), "longer than measured: no gain assumed"


def test_a_cpu_and_a_gpu() -> None:
    """Linear time: one text a call. A constant up to saturation: large batches."""
    grid = [(items, tokens) for items in (1, 2, 4, 8) for tokens in (64, 256, 512)]
    cpu = CostModel([Cell(b, n, 1e-4 * b * n) for b, n in grid], max_items=8, max_tokens=512)
    gpu = CostModel([Cell(b, n, max(5e-3, 1e-6 * b * n)) for b, n in grid], max_items=8, max_tokens=512)
    assert (cpu.max_useful_batch, gpu.max_useful_batch) == (1, 8)


def test_very_long_models_share_columns() -> None:
    """The table stays small for 32k tokens; a length is predicted as the next column's."""
    cost = CostModel([Cell(1, 16, 0.001), Cell(1, 32768, 2.0)], max_items=1, max_tokens=32768)
    assert cost.seconds(1, 32768) == pytest.approx(2.0)
    assert cost.seconds(1, 40000) >= cost.seconds(1, 32768), "asked beyond the table: its end"
    assert cost.seconds(1, 65) == cost.seconds(1, 128)
