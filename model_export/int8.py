"""int8 weights whose products are the same integers on every CPU, and the check that they are.

Shapes: K inputs of a layer, N outputs (channels).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from model_export.errors import FidelityError
from service.bundle.manifest import Quantization
from service.engine.integer import PRODUCT_TOLERANCE, Int8, check_integer_products, product_error

INT8 = Quantization(largest_pair=128)
"""255·128 = 32,640 is the largest sum of two products of such weights; 16 bits hold 32,767."""
_PRODUCTS = {"MatMulInteger", "QAttention"}


def bound_products(fp32: Path, int8: Path) -> None:
    """Replace the weights of a dynamically quantized file by ones of the same layers that keep `INT8`'s bound."""
    original = onnx.load(fp32)
    floats = {tensor.name: tensor for tensor in original.graph.initializer}
    transposed = {node.input[1] for node in original.graph.node if node.op_type == "Gemm" and _integer(node, "transB")}
    model = onnx.load(int8)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in _weight_names(model):
        source = name.removesuffix("_quantized")
        weights = numpy_helper.to_array(floats[source])
        quantized, scale = quantize_bounded(weights.T if source in transposed else weights)
        tensors[name].CopyFrom(numpy_helper.from_array(quantized, name))
        tensors[f"{source}_scale"].CopyFrom(numpy_helper.from_array(scale, f"{source}_scale"))
    onnx.save(model, int8)


def quantize_bounded(weights_KN: NDArray[np.float32]) -> tuple[Int8, NDArray[np.float32]]:
    """Round to symmetric 8-bit integers with |q[2i]| + |q[2i+1]| <= `INT8.largest_pair` in every channel.

    x86 without VNNI adds the products of two neighboring inputs in 16 bits. Bounding their sum costs less precision
    than halving the range, as `reduce_range` does: two neighbors are seldom large together.

    Returns:
        Integers [K, N], and the scale of each channel, float32 [N].
    """
    inputs, outputs = weights_KN.shape
    size_KN = np.abs(weights_KN.astype(np.float64))
    pairs = np.vstack([size_KN, np.zeros((inputs % 2, outputs))]).reshape(-1, 2, outputs)
    # Each of the two may be rounded up by a half.
    scale = pairs.sum(axis=1).max(axis=0) / (INT8.largest_pair - 1)
    scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weights_KN / scale).clip(-127, 127).astype(np.int8), scale


def check_products(int8: Path) -> None:
    """Compare every quantized layer's products on this machine with numpy's exact sums.

    Raises:
        BundleRejected: this CPU's kernels saturate.
        FidelityError: onnxruntime multiplies a layer's weights wrongly.
    """
    check_integer_products(INT8.largest_pair)
    model = onnx.load(int8)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name in _weight_names(model):
        error = product_error(numpy_helper.to_array(tensors[name]))
        if error > PRODUCT_TOLERANCE:
            raise FidelityError(f"onnxruntime multiplies {name} wrongly on this machine, off by {error:.1%}")


def _weight_names(model: onnx.ModelProto) -> Iterator[str]:
    """Constant 8-bit matrices that activations are multiplied with, each once."""
    constants = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    names = (node.input[1] for node in model.graph.node if node.op_type in _PRODUCTS)
    return (name for name in dict.fromkeys(names) if name in constants)


def _integer(node: onnx.NodeProto, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)
