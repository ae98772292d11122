"""Opens onnxruntime sessions: from verified bytes, on exactly the device that was asked for."""

import contextlib
import ctypes
import hashlib
import importlib.metadata
import io
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime as ort

from plurality.core.errors import ConfigurationError
from service.domain import Device
from service.engine.backend import INPUTS, OrtBackend, brief
from service.errors import BundleRejected
from service.telemetry.logs import get_logger

Providers = list[tuple[str, dict[str, str]]]
"""In onnxruntime's order: what the first cannot run goes to the next; options as text."""
_PROVIDERS: Mapping[Device, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_PROBE = (
    b'\x08\x08:5\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x01pZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""An ONNX model: y = x + x, float32 of shape [1], opset 13."""


def check_runtime(device: Device) -> None:
    """Refuse a runtime that would silently do something else than asked.

    onnxruntime lists a GPU provider as available when its package was built with it; whether it works shows only in
    a session, which otherwise falls back to the CPU with a line in the log. So a GPU must first run a tiny model.

    Raises:
        ConfigurationError: two onnxruntime distributions shadow each other, or the device's provider is absent or
            does not come up; with the cause and the cure.
    """
    installed = {name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)}
    if len(installed) > 1:
        raise ConfigurationError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; "
            "run `pip uninstall onnxruntime onnxruntime-gpu` and install one of the extras `cpu` and `gpu`"
        )
    provider = _PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise ConfigurationError(
            f"device {device} was asked for, but this onnxruntime has no {provider}; "
            "install the extra `gpu` on a machine with a GPU, or ask for --device cpu"
        )
    if device != "cpu":
        _probe(device)


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


@cache  # what raises is not kept
def _probe(device: Device) -> None:
    provider = _PROVIDERS[device]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find, of which much is not needed
        ort.preload_dlls()  # CUDA and cuDNN as pip installs them lie where no loader looks
    try:
        session = ort.InferenceSession(_PROBE, providers=provider_chain(device, engine_cache=None), enable_fallback=0)
        if session.get_providers()[0] == provider:
            session.run(None, {"x": np.ones(1, np.float32)})
            return
        cause = "no GPU that it supports answers"
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, all without a common root
        cause = brief(error)
    raise ConfigurationError(
        f"device {device} was asked for, but {provider} does not come up: {_missing_library(device) or cause}; check "
        "the driver with `nvidia-smi`, install the CUDA and cuDNN of this onnxruntime "
        "(`pip install 'onnxruntime-gpu[cuda,cudnn]'`) and, for tensorrt, TensorRT; or ask for --device cpu"
    )


def _missing_library(device: Device) -> str | None:
    """The dynamic loader's error for the provider's library, which onnxruntime only logs."""
    library = Path(ort.__file__).parent / "capi" / f"libonnxruntime_providers_{device}.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        # Symbols are resolved by onnxruntime, which loads its own libraries in an order of its own.
        return None if "undefined symbol" in str(error) else str(error)
    return None


def provider_chain(device: Device, *, engine_cache: Path | None) -> Providers:
    """The providers of a session and their options.

    Args:
        engine_cache: where TensorRT keeps the engines of this one model; None: it builds them at every start.
    """
    # TF32 keeps 10 bits of a factor's 23: an fp32 version would miss its golden rewards. Who wants speed takes fp16.
    cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})
    if device == "cpu":
        return [("CPUExecutionProvider", {})]
    if device == "cuda":
        return [cuda]
    options: dict[str, str] = {}
    if engine_cache:
        options = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engine_cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engine_cache),
        }
    return [("TensorrtExecutionProvider", options), cuda]


def engine_cache_folder(model: bytes, external: Mapping[str, bytes], environment: Mapping[str, str]) -> Path | None:
    """A folder for the engines of exactly this model, or None where none can be made.

    TensorRT names an engine by the graph's shape and not by its weights: two versions of one architecture in one
    folder would get each other's rewards. So the folder's name is the digest of all weights.
    """
    digest = hashlib.sha256(model)
    for name in sorted(external):
        digest.update(external[name])
    root = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '')}/.cache"
    folder = Path(root) / "plurality" / "tensorrt" / digest.hexdigest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def open_session(model: bytes, *, external: Mapping[str, bytes], device: Device, threads: int | None) -> OrtBackend:
    """Open a session from bytes, so that no later change of a file can reach it.

    Raises:
        BundleRejected: onnxruntime cannot read the model, or it has inputs that we do not know.
        ConfigurationError: the device's provider did not come up.
    """
    check_runtime(device)
    provider = _PROVIDERS[device]
    kept = engine_cache_folder(model, external, os.environ) if device == "tensorrt" else None
    if device == "tensorrt" and kept is None:
        get_logger(__name__).warning("engines_not_kept", cure="set XDG_CACHE_HOME to a writable folder")
    try:
        session = ort.InferenceSession(
            model,
            _session_options(external, threads),
            providers=provider_chain(device, engine_cache=kept),
            enable_fallback=0,
        )
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, all without a common root
        raise BundleRejected(f"onnxruntime cannot load model.onnx: {brief(error)}", reason="parse") from None
    if session.get_providers()[0] != provider:
        raise ConfigurationError(f"asked for {provider}, onnxruntime gave {session.get_providers()}")
    unknown = {entry.name for entry in session.get_inputs()} - INPUTS
    if unknown:
        raise BundleRejected(f"model.onnx wants inputs we do not know: {sorted(unknown)}", reason="op")
    return OrtBackend(session, bound=device != "cpu")


def _session_options(external: Mapping[str, bytes], threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # A plan of the allocations is kept for each shape ever seen, and no two calls need be of one shape: memory that
    # grows for hours (docs/results/soak.md). Found by hand to be no slower; no benchmark of it is kept.
    options.enable_mem_pattern = False
    # One thread a call means that several workers call at once: they would share one arena, its lock and its fragments.
    # Found by hand on 2 cores, int8 more than fp32; no benchmark of it is kept. With one worker the arena is no loss.
    options.enable_cpu_mem_arena = threads != 1
    # Spinning threads take the cores that tokenizing and HTTP need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if external:
        names = list(external)
        buffers = [external[name] for name in names]
        options.add_external_initializers_from_files_in_memory(names, buffers, [len(data) for data in buffers])
    return options
