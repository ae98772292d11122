"""8-bit products: exact here for bounded weights, and a machine that saturates refuses the others."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.engine import onnx_bytes
from service.engine.integer import (
    PRODUCT_TOLERANCE,
    check_integer_products,
    product_error,
    worst_weights,
)
from service.errors import BundleRejected
from tests.service.engine.saturating import SaturatingProduct

BOUND, FULL_RANGE = 128, 254


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    check_integer_products.cache_clear()
    yield
    check_integer_products.cache_clear()


@pytest.fixture
def saturating(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's kernels are those of x86 without VNNI."""
    monkeypatch.setattr("service.engine.integer._dynamic_product", SaturatingProduct)


def has_vnni() -> bool:
    cpu = Path("/proc/cpuinfo")
    return cpu.exists() and bool({"avx512_vnni", "avx_vnni"} & set(cpu.read_text(encoding="utf-8").split()))


@pytest.mark.parametrize(("inputs", "outputs"), [(2, 48), (3, 5), (129, 48), (384, 1152), (1537, 33)])
def test_bounded_weights_are_multiplied_exactly(inputs: int, outputs: int) -> None:
    """onnxruntime's kernels on this CPU against numpy's int32, whichever CPU it is."""
    weights = worst_weights(BOUND, inputs=inputs, outputs=outputs)
    assert weights.shape == (inputs, outputs)
    assert product_error(weights) <= PRODUCT_TOLERANCE


@pytest.mark.skipif(not has_vnni(), reason="a CPU without VNNI saturates, and is right to refuse them")
def test_full_range_weights_are_exact_where_vnni_is() -> None:
    """So versions of unbounded weights go on being served there."""
    check_integer_products(FULL_RANGE)


@pytest.mark.usefixtures("saturating")
@pytest.mark.parametrize("largest_pair", [130, 200, FULL_RANGE])
def test_a_saturating_machine_refuses(largest_pair: int) -> None:
    """The signed weights of full range that were exported once, and any bound above 16 bits."""
    with pytest.raises(BundleRejected, match=r"8-bit products saturate .off by \d.*%.*VNNI") as refused:
        check_integer_products(largest_pair)
    assert refused.value.reason == "arithmetic"


@pytest.mark.usefixtures("saturating")
def test_a_saturating_machine_serves_bounded_weights() -> None:
    """The bound is where saturation begins: 128 is exact, 129 is not."""
    check_integer_products(BOUND)
    with pytest.raises(BundleRejected):
        check_integer_products(BOUND + 1)


@pytest.mark.parametrize("largest_pair", [2, 77, BOUND, 129, 200, FULL_RANGE])
def test_the_worst_weights_reach_the_bound_and_stay_below_it(largest_pair: int) -> None:
    """In every channel of an even number of inputs."""
    weights = worst_weights(largest_pair, inputs=64).astype(int)
    pairs = np.abs(weights).reshape(32, 2, -1).sum(axis=1)
    assert pairs.max() == largest_pair
    assert np.abs(weights).max() == min(127, largest_pair)
    assert {1, -1} == set(np.sign(weights).ravel()) - {0}


def test_the_bytes_are_a_valid_model() -> None:
    """As onnx itself reads them."""
    weights = worst_weights(BOUND, inputs=300, outputs=7)
    data = onnx_bytes.model(
        nodes=[
            onnx_bytes.node("Cast", ["w"], ["f"], to=onnx_bytes.FLOAT),
            onnx_bytes.node("MatMul", ["x", "f"], ["y"]),
        ],
        constants={"w": weights},
        inputs={"x": ("rows", 300)},
        outputs={"y": ("rows", 7)},
    )
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    [tensor] = model.graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), weights)
    assert [node.op_type for node in model.graph.node] == ["Cast", "MatMul"]
    [value] = model.graph.input
    assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == ["rows", 300]
