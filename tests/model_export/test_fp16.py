"""fp16: half the bytes where it is safe, the same order, and refused where a half-precision number cannot hold it."""

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from model_export.checkpoint import Checkpoint, open_checkpoint
from model_export.errors import FidelityError
from model_export.fp16 import check_range, convert_fp16
from model_export.pipeline import Target, export
from model_export.verify import FP16_SPEARMAN
from service.bundle.open import MODEL_FILE, load_model
from service.bundle.store import version_directory
from service.domain import Batch
from tests.tiny import build_tiny_checkpoint

pytestmark = pytest.mark.export
ONE = np.ones((1, 3), dtype=np.int64)
BATCH = Batch(ONE, ONE, ONE)


def tiny(kind: str, folder: Path) -> Checkpoint:
    return open_checkpoint(str(build_tiny_checkpoint(kind, folder)))


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "llama"])
def test_it_is_published_through_its_gate(kind: str, tmp_path: Path) -> None:
    """Fused, with relative positions, with rotary positions: order as torch's, head and norms in fp32, alias fp16."""
    published = export(
        tiny(kind, tmp_path / "model"), Target(tmp_path / "store", "m", ("fp32", "fp16")), say=lambda _: None
    )
    assert [entry.aliases for entry in published] == [("stable",), ("fp16",)]
    manifest = published[1].manifest
    assert manifest.precision == "fp16"
    assert manifest.fidelity.spearman >= FP16_SPEARMAN
    assert 0 < (manifest.fidelity.max_probability_change or 0) < 0.05
    assert manifest.golden_tolerance == pytest.approx(0.05 * max(1, manifest.reward_statistics.std))
    version = version_directory(tmp_path / "store", "m", published[1].digest)
    load_model(version).backend.close()
    graph = onnx.load(version / MODEL_FILE).graph
    assert graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    types = {entry.name: entry.data_type for entry in graph.initializer}
    head = next(node for node in graph.node if node.name.startswith(("/classifier/", "/score/")))
    assert TensorProto.FLOAT in {types.get(name) for name in head.input}
    halves = [numpy_helper.to_array(entry) for entry in graph.initializer if entry.data_type == TensorProto.FLOAT16]
    assert sum(weight.ndim == 2 for weight in halves) >= 9


def test_a_model_that_overflows_is_refused(tmp_path: Path) -> None:
    """Activations beyond 65504 refuse fp16 with the tensor's name; fp32 is published as ever."""
    checkpoint = tiny("bert", tmp_path / "model")
    with torch.no_grad():
        layer = checkpoint.model.bert.encoder.layer[0].output.dense
        layer.weight *= 3e5
        layer.bias *= 3e5
    told: list[str] = []
    [published] = export(checkpoint, Target(tmp_path / "store", "m", ("fp32", "fp16")), say=told.append)
    assert published.manifest.precision == "fp32"
    assert any("fp16 is not published: float16 overflows" in line and "layer.0/output" in line for line in told)


def test_a_file_that_cannot_be_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the converter got wrong costs its precision, not the ones that are fine."""

    def broken(fp32: Path, directory: Path) -> list[Path]:
        path = directory / MODEL_FILE
        path.write_bytes(b"no model")
        return [path]

    monkeypatch.setattr("model_export.pipeline.convert_fp16", broken)
    monkeypatch.setattr("model_export.pipeline.check_range", lambda *_: None)
    told: list[str] = []
    target = Target(tmp_path / "store", "m", ("fp32", "fp16"))
    [published] = export(tiny("bert", tmp_path / "model"), target, say=told.append)
    assert published.manifest.precision == "fp32"
    assert any("fp16 is not published: onnxruntime cannot load model.onnx" in line for line in told)


def model_of(folder: Path, minimum: float) -> Path:
    """logits = mask * minimum + ids, as a mask is built, and then halved."""
    folder.mkdir()
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT, name="ids"),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT, name="mask"),
        helper.make_node("Mul", ["mask", "minimum"], ["hidden"], name="hide"),
        helper.make_node("Add", ["ids", "hidden"], ["sum"], name="sum"),
        helper.make_node("Clip", ["sum", "low"], ["logits"], name="clip"),
    ]
    ints = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "t"]) for n in ("input_ids", "attention_mask")]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "t"])
    constants = [numpy_helper.from_array(np.float32(v), n) for n, v in (("minimum", minimum), ("low", -1.0))]
    graph = helper.make_graph(nodes, "mask", ints, [out], constants)
    path = folder / MODEL_FILE
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_masks_do_not_overflow(tmp_path: Path) -> None:
    """The float32 minimum of a mask is clamped and no reason to refuse; as large a number otherwise is one."""
    mask, hot = model_of(tmp_path / "mask", float(np.finfo(np.float32).min)), model_of(tmp_path / "hot", -7e4)
    [half] = convert_fp16(mask, tmp_path)
    check_range(mask, half, [BATCH])
    (tmp_path / "again").mkdir()
    [half] = convert_fp16(hot, tmp_path / "again")
    with pytest.raises(FidelityError, match=r"hidden reaches -7e\+04|sum reaches -7e\+04"):
        check_range(hot, half, [BATCH])


def test_the_first_precision_may_be_fp16(tmp_path: Path) -> None:
    """A GPU store may hold fp16 alone; it scores in batches as alone, within its rounding."""
    checkpoint = tiny("bert", tmp_path / "model")
    [published] = export(checkpoint, Target(tmp_path / "store", "m", ("fp16",)), say=lambda _: None)
    assert published.aliases == ("stable",)
    model = load_model(version_directory(tmp_path / "store", "m", published.digest))
    with closing(model.backend):
        assert np.isfinite(model.backend.run(BATCH)).all()
