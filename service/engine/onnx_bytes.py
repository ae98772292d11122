"""Writes small ONNX models as protobuf bytes: the service checks kernels with them and does not install `onnx`.

Field numbers are those of onnx.proto3 (IR version 8, opset 13).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

FLOAT = 1
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7}
_IR_VERSION, _OPSET, _ATTRIBUTE_INT = 8, 13, 2
_VARINT, _BYTES = 0, 2


def model(
    *,
    nodes: Sequence[bytes],
    constants: Mapping[str, NDArray[np.generic]],
    inputs: Mapping[str, tuple[int | str, ...]],
    outputs: Mapping[str, tuple[int | str, ...]],
) -> bytes:
    """A ModelProto; `inputs` and `outputs` are float32, a dimension is a number or a name."""
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"graph"),
            *(_field(5, _tensor(name, values)) for name, values in constants.items()),
            *(_field(11, _value(name, shape)) for name, shape in inputs.items()),
            *(_field(12, _value(name, shape)) for name, shape in outputs.items()),
        ]
    )
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, _number(2, _OPSET))


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **integers: int) -> bytes:
    """A NodeProto with integer attributes."""
    attributes = (
        _field(1, name.encode()) + _number(3, value) + _number(20, _ATTRIBUTE_INT) for name, value in integers.items()
    )
    return b"".join(
        [
            *(_field(1, name.encode()) for name in inputs),
            *(_field(2, name.encode()) for name in outputs),
            _field(4, operator.encode()),
            *(_field(5, attribute) for attribute in attributes),
        ]
    )


def _tensor(name: str, values: NDArray[np.generic]) -> bytes:
    dimensions = b"".join(_number(1, size) for size in values.shape)
    data = np.ascontiguousarray(values).tobytes()
    return dimensions + _number(2, _TYPES[values.dtype.name]) + _field(8, name.encode()) + _field(9, data)


def _value(name: str, shape: tuple[int | str, ...]) -> bytes:
    dimensions = b"".join(
        _field(1, _number(1, size) if isinstance(size, int) else _field(2, size.encode())) for size in shape
    )
    tensor_type = _number(1, FLOAT) + _field(2, dimensions)
    return _field(1, name.encode()) + _field(2, _field(1, tensor_type))


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(payload)) + payload


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
