"""fp32 ONNX -> fp16 for GPUs: products and attention in half precision; the head, the norms and positions in fp32."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST
from onnxruntime.transformers.onnx_model import OnnxModel

from model_export.errors import FidelityError
from model_export.to_onnx import model_files, quiet
from service.bundle.open import MODEL_FILE
from service.domain import Batch
from service.engine.backend import model_inputs

LARGEST = 65504.0
"""The largest finite float16."""
_MASK = -1e37
"""Below it a value is not computed but the float32 minimum of an attention mask, which the converter clamps."""
_NORMS = (
    "LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization",
    "Pow", "ReduceMean", "Reciprocal", "Sqrt",
)  # fmt: skip
"""As fused, and as RMS norms are spelt out: squares overflow first. The residual stream between fused ones is fp32."""
_KEPT_SCOPES = re.compile(r"/pooler/|/classifier/|/score/|/head/|norm/", re.IGNORECASE)
_INTEGERS = {onnx.TensorProto.INT64, onnx.TensorProto.INT32}


def convert_fp16(fp32: Path, directory: Path) -> list[Path]:
    """Write the fp16 model: the same inputs, and logits in float32 still.

    Returns:
        The bundle's model files, with external data where the fp32 model has it.
    """
    target = directory / "fp16"
    target.mkdir()
    model = OnnxModel(onnx.load(fp32))
    graph = model.model.graph
    _name_nodes(graph)
    with quiet():
        model.convert_float_to_float16(
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_NORMS],
            node_block_list=sorted(_kept_in_float(graph)),
        )
        _drop_repeated_casts(model.model.graph)
        model.topological_sort()
        model.save_model_to_file(str(target / MODEL_FILE), use_external_data_format=len(model_files(fp32.parent)) > 1)
    return model_files(target)


def check_range(fp32: Path, fp16: Path, batches: Sequence[Batch]) -> None:
    """Refuse a model whose activations leave float16's range.

    A CPU hides it: it runs fp16 by casts, and onnxruntime drops a cast down that is followed by one up. So the extremes
    of each tensor that the fp16 file holds in half precision are taken from the fp32 file.

    Raises:
        FidelityError: names the tensor and its extreme.
    """
    model = onnx.load(fp32, load_external_data=False)
    names = _half_tensors(fp16) & {name for node in model.graph.node for name in node.output}
    probe = fp32.with_name("extremes.onnx")  # beside the external data that it refers to
    onnx.save(_with_extremes(model, sorted(names)), probe)
    session = ort.InferenceSession(probe, providers=["CPUExecutionProvider"])
    inputs = frozenset(entry.name for entry in session.get_inputs())
    outputs = [entry.name for entry in session.get_outputs() if entry.name.startswith(("most:", "least:"))]
    for batch in batches:
        for name, value in zip(outputs, session.run(outputs, model_inputs(batch, inputs)), strict=True):
            if np.isnan(value) or value > LARGEST or _MASK < value < -LARGEST:
                raise FidelityError(
                    f"float16 overflows: {name.partition(':')[2]} reaches {float(value):.3g}, more than {LARGEST:.0f}; "
                    "export with --precision fp32"
                )


def _name_nodes(graph: onnx.GraphProto) -> None:
    """The converter picks nodes by name; fusion leaves some without."""
    for place, node in enumerate(graph.node):
        node.name = node.name or f"unnamed_{place}"


def _kept_in_float(graph: onnx.GraphProto) -> set[str]:
    """The head, spelt-out norms, and positions: whatever ends in a whole number, a sine or a cosine.

    Seen on a random DeBERTa: relative positions in float16 fall into other buckets, logits move by 0.17.
    """
    makers = {name: node for node in graph.node for name in node.output}
    waiting = [node for node in graph.node if node.op_type in {"Cos", "Sin"} or _to_integer(node)]
    kept = {node.name for node in graph.node if _KEPT_SCOPES.search(node.name)}
    positions: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name not in positions:
            positions.add(node.name)
            if node.op_type != "Shape":  # a shape is the same in any precision: what it is of is no position
                waiting.extend(makers[name] for name in node.input if name in makers)
    return kept | positions


def _to_integer(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and any(entry.name == "to" and entry.i in _INTEGERS for entry in node.attribute)


def _drop_repeated_casts(graph: onnx.GraphProto) -> None:
    """Two fp32 readers of one fp16 tensor get two casts of one name from the converter, which is no valid graph."""
    seen: set[str] = set()
    for node in list(graph.node):
        if node.op_type == "Cast" and node.output[0] in seen:
            graph.node.remove(node)
        seen.update(node.output)


def _half_tensors(path: Path) -> set[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return {entry.name for entry in graph.value_info if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16}


def _with_extremes(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with the largest and the smallest value of these tensors as further outputs."""
    for node, output in _extremes(names):
        model.graph.node.append(node)
        model.graph.output.append(output)
    return model


def _extremes(names: Sequence[str]) -> Iterator[tuple[onnx.NodeProto, onnx.ValueInfoProto]]:
    for name in names:
        for prefix, operator in (("most", "ReduceMax"), ("least", "ReduceMin")):
            output = f"{prefix}:{name}"
            info = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [])
            yield onnx.helper.make_node(operator, [name], [output], keepdims=0, name=output), info
