"""Checks that this machine's kernels multiply 8-bit integers exactly, as an int8 version's rewards assume.

x86 without VNNI multiplies unsigned activations with signed weights by `vpmaddubsw`, which adds the products of two
neighboring inputs in 16 bits and saturates: 255·127 + 255·127 becomes 32,767. Weights whose neighbors are small enough
never reach it (the manifest's `largest_pair`); others get rewards of their own on such a machine, under one digest.

Shapes: M rows of activations, K inputs of a layer, N outputs.
"""

import itertools
from functools import cache

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.engine import onnx_bytes as onnx
from service.errors import BundleRejected

Int8 = NDArray[np.int8]
_ROWS = (1, 5, 64)
"""Kernels differ by the number of rows."""
PRODUCT_TOLERANCE = 1e-6
"""Of the largest product: float32 holds no more. One saturated pair among K = 4,096 is off by 1e-4 and more."""


@cache
def check_integer_products(largest_pair: int) -> None:
    """Multiply the weights that such a version may hold, the worst ones first, and compare with numpy's exact sums.

    Args:
        largest_pair: bound of |w[2i]| + |w[2i+1]| in every channel.

    Raises:
        BundleRejected: reason `arithmetic`; another CPU, or another precision of the model, serves it.
    """
    error = product_error(worst_weights(largest_pair))
    if error > PRODUCT_TOLERANCE:
        raise BundleRejected(
            f"this CPU's 8-bit products saturate (off by {error:.1%} of the largest), so this int8 version would get "
            "other rewards here than where it was checked; export it again with this release, serve another precision, "
            "or use a CPU with VNNI",
            reason="arithmetic",
        )


def product_error(weights_KN: Int8) -> float:
    """Largest error of onnxruntime's dynamically quantized matrix product with these weights, relative to the product.

    The product is the one that a version runs (activations quantized by tensor, weights constant, nodes fused by
    onnxruntime); activations lie on the grid, so that quantizing them changes nothing. numpy's sums are the integers of
    an int32 accumulator: float64 holds every one below 2^53, and multiplies large layers by BLAS.
    """
    run = _dynamic_product(weights_KN)
    worst = 0.0
    for activations_MK in _activations(weights_KN.shape[0]):
        exact_MN = activations_MK.astype(np.float64) @ weights_KN.astype(np.float64)
        difference = np.abs(run.run(None, {"x": activations_MK.astype(np.float32)})[0] - exact_MN).max()
        worst = max(worst, float(difference / max(1.0, np.abs(exact_MN).max())))
    return worst


def worst_weights(largest_pair: int, *, inputs: int = 129, outputs: int = 48) -> Int8:
    """Weights [K, N] whose neighbors reach the bound, in every sign and split, and random ones below it."""
    high, half, pairs = min(127, largest_pair), largest_pair // 2, -(-inputs // 2)
    splits = [
        (half, half),
        (high, largest_pair - high),
        (largest_pair - high, high),
        (half, -half),
        (high, 0),
        (0, high),
    ]
    rng = np.random.default_rng(0)
    first = rng.integers(0, high + 1, (pairs, outputs))
    second = np.minimum(127, largest_pair - first)
    weights = np.stack([first, second], axis=1) * rng.choice([-1, 1], (pairs, 2, outputs))
    for channel, (split, sign) in zip(range(outputs), itertools.product(splits, (1, -1)), strict=False):
        weights[:, :, channel] = np.multiply(split, sign)
    made: Int8 = weights.reshape(2 * pairs, outputs)[:inputs].astype(np.int8)
    return made


def _activations(inputs: int) -> list[NDArray[np.int64]]:
    """Integers [M, K] that reach both ends of 0..255, then of -128..127: their scale is 1, exactly."""
    rng = np.random.default_rng(1)
    made = []
    for rows in _ROWS:
        full = np.full((rows, inputs), 255)
        mixed = rng.choice([0, 1, 254, 255], (rows, inputs))
        for values in (full, mixed):
            values[-1, -2:] = (0, 255)  # both ends of the grid are there
            made += [values, values - 128]
    return made


def _dynamic_product(weights_KN: Int8) -> ort.InferenceSession:
    """y = dequantize(quantize(x) · W), scale of W 1, as `onnxruntime.quantization.quantize_dynamic` writes it."""
    inputs, outputs = weights_KN.shape
    model = onnx.model(
        nodes=[
            onnx.node("DynamicQuantizeLinear", ["x"], ["q", "q_scale", "q_zero"]),
            onnx.node("MatMulInteger", ["q", "w", "q_zero", "w_zero"], ["sums"]),
            onnx.node("Cast", ["sums"], ["sums_float"], to=onnx.FLOAT),
            onnx.node("Mul", ["q_scale", "w_scale"], ["scale"]),
            onnx.node("Mul", ["sums_float", "scale"], ["y"]),
        ],
        constants={"w": weights_KN, "w_zero": np.zeros(outputs, np.int8), "w_scale": np.ones(outputs, np.float32)},
        inputs={"x": ("rows", inputs)},
        outputs={"y": ("rows", outputs)},
    )
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
