"""Devices: what is refused, with what options, and that IO binding gives what a plain run gives."""

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from plurality.core.errors import ConfigurationError
from service.domain import Batch, Device, Encoding
from service.engine import ort as runtime
from service.engine.backend import OrtBackend, pad
from service.engine.ort import check_runtime, engine_cache_folder, open_session, provider_chain
from service.errors import InferenceFailed

GPUS: tuple[Device, ...] = ("cuda", "tensorrt")
FIRST = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


@pytest.fixture(autouse=True)
def _fresh_probe() -> Iterator[None]:
    runtime._probe.cache_clear()
    yield
    runtime._probe.cache_clear()


def summing_session() -> ort.InferenceSession:
    """Logits [B, 1]: the sum of a row's ids where the mask is 1, as float32."""
    helper, types = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(n, types.INT64, ["B", "T"]) for n in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("logits", types.FLOAT, ["B", 1])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["logits"], to=types.FLOAT),
    ]
    axis = onnx.numpy_helper.from_array(np.array([1]), "axis")
    graph = helper.make_graph(nodes, "sum", inputs, [output], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def batch_of(rng: np.random.Generator) -> Batch:
    rows = [rng.integers(1, 1000, rng.integers(1, 40)).tolist() for _ in range(rng.integers(1, 9))]
    return pad([Encoding(tuple(row), len(row), 0) for row in rows], pad_id=7)


def test_io_binding_gives_what_a_plain_run_gives() -> None:
    """From four workers at once, each batch of another shape, every worker gets its own batch's logits."""
    bound, plain = OrtBackend(summing_session(), bound=True), OrtBackend(summing_session())
    batches = [batch_of(np.random.default_rng(seed)) for seed in range(200)]
    with ThreadPoolExecutor(4) as workers:
        found = list(workers.map(bound.run, batches))
    for batch, logits in zip(batches, found, strict=True):
        assert logits.dtype == np.float32
        np.testing.assert_array_equal(logits, plain.run(batch))
        np.testing.assert_array_equal(logits, (batch.input_ids_BT * batch.attention_mask_BT).sum(axis=1))


def test_a_bound_run_that_fails_says_why() -> None:
    """As a plain run does: the runtime's reason, and after closing that it is closed."""
    backend = OrtBackend(summing_session(), bound=True)
    good = batch_of(np.random.default_rng(0))
    wrong = Batch(good.input_ids_BT, good.attention_mask_BT.astype(np.float32), good.token_type_ids_BT)
    with pytest.raises(InferenceFailed, match=r"onnxruntime failed: .*type"):
        backend.run(wrong)
    backend.close()
    with pytest.raises(InferenceFailed, match="closed"):
        backend.run(good)


@pytest.mark.parametrize("device", GPUS)
def test_a_provider_that_is_not_there(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """This onnxruntime was not built for it: refused with the cure."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match=rf"no {FIRST[device]}; install the extra `gpu`"):
        check_runtime(device)


class FakeSession:
    """A session on which a GPU provider did, or did not, come up."""

    def __init__(self, *providers: str) -> None:
        self.providers = list(providers)
        self.ran = 0

    def get_providers(self) -> list[str]:
        return self.providers

    def run(self, outputs: None, feed: dict[str, Any]) -> list[Any]:
        self.ran += 1
        return [feed["x"] * 2]


@pytest.mark.parametrize("device", GPUS)
def test_a_silent_fallback_is_refused(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime lists the provider and gives a CPU session: the loader's word is the cause, with the cure."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [FIRST[device], "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: FakeSession("CPUExecutionProvider"))

    def missing(path: str) -> None:
        assert Path(path).name == f"libonnxruntime_providers_{device}.so"
        raise OSError("libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(ConfigurationError, match=r"come up: libcudnn.so.9: cannot open .*cuda,cudnn.*--device cpu"):
        check_runtime(device)


def test_tensorrt_that_falls_to_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA is TensorRT's second provider; as the first it is not what was asked for."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [*FIRST.values(), "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: FakeSession(FIRST["cuda"], "CPUExecutionProvider"))
    monkeypatch.setattr(runtime, "_missing_library", lambda _: None)
    with pytest.raises(ConfigurationError, match="TensorrtExecutionProvider does not come up: no GPU"):
        check_runtime("tensorrt")


def test_a_gpu_that_throws_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's error while the session opens is the cause, unless a library is missing, which explains it."""

    def throws(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA failure 100: no CUDA-capable device is detected\nand more")

    monkeypatch.setattr(ort, "get_available_providers", lambda: [FIRST["cuda"], "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", throws)
    monkeypatch.setattr(runtime, "_missing_library", lambda _: None)
    with pytest.raises(ConfigurationError, match="come up: CUDA failure 100: no CUDA-capable device is detected;"):
        check_runtime("cuda")


def test_a_working_gpu_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe runs a model, and is kept; what failed is tried again."""
    session = FakeSession(FIRST["cuda"], "CPUExecutionProvider")
    monkeypatch.setattr(ort, "get_available_providers", lambda: [FIRST["cuda"], "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, **__: session)
    check_runtime("cuda")
    check_runtime("cuda")
    assert session.ran == 1


def test_opening_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The session gets the device's providers, no fallback and IO binding; what comes up elsewhere is refused."""
    asked: list[Any] = []
    real = summing_session()

    def opened(model: bytes, options: ort.SessionOptions, *, providers: Any, enable_fallback: int) -> Any:
        asked.append((providers, enable_fallback))
        return real

    monkeypatch.setattr(runtime, "check_runtime", lambda _: None)
    monkeypatch.setattr(ort, "InferenceSession", opened)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="asked for CUDAExecutionProvider, onnxruntime gave"):
        open_session(b"m", external={}, device="cuda", threads=None)
    monkeypatch.setattr(real, "get_providers", lambda: [FIRST["tensorrt"], FIRST["cuda"]])
    backend = open_session(b"m", external={}, device="tensorrt", threads=None)
    cache = engine_cache_folder(b"m", {}, {"XDG_CACHE_HOME": str(tmp_path)})
    assert asked == [
        (provider_chain("cuda", engine_cache=None), 0),
        (provider_chain("tensorrt", engine_cache=cache), 0),
    ]
    monkeypatch.setattr(real, "run", None)  # a plain run would fail
    assert backend.run(batch_of(np.random.default_rng(1))).dtype == np.float32


def test_the_probe_is_a_model() -> None:
    """y = x + x, on the provider that every onnxruntime has."""
    session = ort.InferenceSession(runtime._PROBE, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones(1, np.float32)})[0].tolist() == [2.0]


def test_a_symbol_is_no_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols that onnxruntime itself would resolve are not told as the cause."""

    def unresolved(_: str) -> None:
        raise OSError("undefined symbol: Provider_GetHost")

    monkeypatch.setattr(ctypes, "CDLL", unresolved)
    assert runtime._missing_library("cuda") is None


def test_options() -> None:
    """fp32 stays fp32 on CUDA (no TF32); TensorRT goes first, CUDA takes what it leaves; only it has a cache."""
    assert provider_chain("cpu", engine_cache=None) == [("CPUExecutionProvider", {})]
    [(name, cuda)] = provider_chain("cuda", engine_cache=None)
    assert (name, cuda) == ("CUDAExecutionProvider", {"use_tf32": "0"})
    first, second = provider_chain("tensorrt", engine_cache=Path("/cache/abc"))
    assert second == ("CUDAExecutionProvider", cuda)
    assert first == (
        "TensorrtExecutionProvider",
        {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": "/cache/abc",
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": "/cache/abc",
        },
    )
    assert provider_chain("tensorrt", engine_cache=None)[0] == ("TensorrtExecutionProvider", {})


def test_engines_are_kept_by_weights(tmp_path: Path) -> None:
    """One folder a model, whatever its external data are called; other weights never share it; HOME will do."""
    here = {"XDG_CACHE_HOME": str(tmp_path), "HOME": "/nowhere"}
    folder = engine_cache_folder(b"model", {"a": b"1", "b": b"2"}, here)
    assert folder is not None
    assert folder.is_dir()
    assert folder.is_relative_to(tmp_path / "plurality" / "tensorrt")
    assert engine_cache_folder(b"model", {"b": b"2", "a": b"1"}, here) == folder
    assert engine_cache_folder(b"model", {"a": b"1", "b": b"3"}, here) != folder
    home = engine_cache_folder(b"model", {}, {"HOME": str(tmp_path)})
    assert home is not None
    assert home.is_relative_to(tmp_path / ".cache")


def test_no_room_for_engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no folder can be made, TensorRT works without one."""
    (tmp_path / "file").write_text("")
    assert engine_cache_folder(b"model", {}, {"XDG_CACHE_HOME": str(tmp_path / "file")}) is None
    session = summing_session()
    monkeypatch.setattr(session, "get_providers", lambda: [FIRST["tensorrt"]])
    monkeypatch.setattr(runtime, "check_runtime", lambda _: None)
    monkeypatch.setattr(ort, "InferenceSession", lambda *_, providers, **__: session if not providers[0][1] else None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    open_session(b"m", external={}, device="tensorrt", threads=None).close()
