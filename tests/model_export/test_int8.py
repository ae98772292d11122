"""int8: published only through its gate, exactly repeatable once it is, and the same on every CPU."""

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from onnx import numpy_helper

from model_export.checkpoint import open_checkpoint
from model_export.int8 import INT8, check_products, quantize_bounded
from model_export.pipeline import Target, export
from model_export.publish import write_version
from model_export.sample_texts import sample_items
from model_export.verify import INT8_SPEARMAN
from service.bundle.open import MODEL_FILE, load_model, score_now
from service.bundle.pointer_writer import writer
from service.bundle.store import read_verified, version_directory
from service.engine.integer import check_integer_products
from service.errors import BundleRejected
from tests.service.engine.saturating import SaturatingProduct
from tests.tiny import build_tiny_checkpoint

GATES = {"bert": INT8_SPEARMAN, "modernbert": 0.9}
"""Random ModernBERT weights need a wider gate."""


@pytest.fixture(scope="module", params=GATES)
def int8_version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a published int8 version."""
    folder, kind = tmp_path_factory.mktemp("int8"), request.param
    checkpoint = open_checkpoint(str(build_tiny_checkpoint(kind, folder / "model")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("model_export.verify.INT8_SPEARMAN", GATES[kind])
        published = export(checkpoint, Target(folder / "store", "m"), say=lambda _: None)
    assert [entry.aliases for entry in published] == [("stable",), ("int8",)]
    assert published[1].manifest.fidelity.spearman >= GATES[kind]
    return version_directory(folder / "store", "m", published[1].digest)


@pytest.mark.export
def test_int8_runs_alone_and_exactly(int8_version: Path) -> None:
    """One text a run gives the very same reward in any order, on any number of threads."""
    items = sample_items(20)
    model, wide = load_model(int8_version, threads=1), load_model(int8_version, threads=4)
    with closing(model.backend), closing(wide.backend):
        forward, backward = score_now(model, items), score_now(model, items[::-1])
        assert forward == backward[::-1]
        assert forward == score_now(wide, items)


@pytest.mark.export
def test_every_layer_is_bounded_and_the_head_stays_float(int8_version: Path) -> None:
    """The scheme stands in the manifest, and the file keeps it."""
    graph = onnx.load(int8_version / MODEL_FILE).graph
    products = [node for node in graph.node if node.op_type in {"MatMulInteger", "QAttention"}]
    assert len(products) >= 6
    assert not any("/classifier/" in node.name or "/pooler/" in node.name for node in products)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in products:
        weights = np.abs(tensors[node.input[1]].astype(int))
        assert (weights[0::2] + weights[1::2]).max() <= INT8.largest_pair
    with closing(load_model(int8_version).backend):
        check_products(int8_version / MODEL_FILE)


@pytest.mark.export
def test_a_saturating_machine_serves_it_and_refuses_unbounded_weights(
    int8_version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that states no bound is of full range: it is refused where kernels saturate, before it scores."""
    files = read_verified(int8_version)
    manifest = files.manifest.model_copy(update={"quantization": None})
    with writer(tmp_path, "m") as directory:
        digest = write_version(directory, manifest, dict(files.contents))
    unbounded = version_directory(tmp_path, "m", digest)
    monkeypatch.setattr("service.engine.integer._dynamic_product", SaturatingProduct)
    check_integer_products.cache_clear()
    try:
        load_model(int8_version).backend.close()
        with pytest.raises(BundleRejected, match="saturate") as refused:
            load_model(unbounded)
        assert refused.value.reason == "arithmetic"
    finally:
        check_integer_products.cache_clear()


@settings(deadline=None)
@given(
    npst.arrays(
        np.float32,
        npst.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-1e3, 1e3, width=32) | st.floats(-(2**-10), 2**-10, width=32),
    )
)
def test_bounded_weights(weights: np.ndarray) -> None:
    """Neighbors of a channel never exceed the bound, and each weight is within half a step of the one it stands for."""
    quantized, scale = quantize_bounded(weights)
    size = np.abs(np.vstack([quantized.astype(int), np.zeros((len(weights) % 2, weights.shape[1]), int)]))
    assert (size[0::2] + size[1::2]).max() <= INT8.largest_pair
    assert scale.shape == weights.shape[1:]
    assert (np.abs(quantized * scale.astype(np.float64) - weights) <= scale * (0.5 + 1e-4)).all()
