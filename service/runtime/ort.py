"""onnxruntime behind the `Backend` protocol: from verified bytes, on exactly the device that was asked for."""

import importlib.metadata
import threading
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import onnxruntime as ort

from service.domain import Batch, Float32
from service.errors import BundleRejected, ConfigurationError, InferenceFailed

Device = Literal["cpu", "cuda"]
_PROVIDERS: Mapping[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "position_ids"}


def check_runtime(device: Device) -> None:
    """Refuse a runtime that would silently do something else than asked.

    Raises:
        ConfigurationError: two onnxruntime distributions shadow each other, or the device's provider is absent.
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


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class OrtBackend:
    """One onnxruntime session of one model version. `run` may be called from several threads."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session: ort.InferenceSession | None = session
        self._inputs = frozenset(entry.name for entry in session.get_inputs())
        self._output = session.get_outputs()[0].name
        self._closing = threading.Lock()

    @classmethod
    def open(cls, model: bytes, *, external: Mapping[str, bytes], device: Device, threads: int | None) -> Self:
        """Open a session from bytes, so that no later change of a file can reach it.

        Raises:
            BundleRejected: onnxruntime cannot read the model, or it has inputs that we do not know.
            ConfigurationError: the device's provider did not come up.
        """
        check_runtime(device)
        provider = _PROVIDERS[device]
        try:
            session = ort.InferenceSession(
                model, _session_options(external, threads), providers=[provider], enable_fallback=0
            )
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, all without a common root
            raise BundleRejected(f"onnxruntime cannot load model.onnx: {_brief(error)}", reason="parse") from None
        if session.get_providers()[0] != provider:
            raise ConfigurationError(f"asked for {provider}, onnxruntime gave {session.get_providers()}")
        unknown = {entry.name for entry in session.get_inputs()} - _INPUTS
        if unknown:
            raise BundleRejected(f"model.onnx wants inputs we do not know: {sorted(unknown)}", reason="op")
        return cls(session)

    def run(self, batch: Batch) -> Float32:
        """Logits, float32 [B]. Raises InferenceFailed with the runtime's reason."""
        session = self._session
        if session is None:
            raise InferenceFailed("the model version is closed")
        try:
            logits = session.run([self._output], self._feed(batch))[0]
        except Exception as error:  # noqa: BLE001 - the batch boundary: a failing run fails its items only
            raise InferenceFailed(f"onnxruntime failed: {_brief(error)}") from None
        rows = batch.input_ids_BT.shape[0]
        if logits.shape not in {(rows, 1), (rows,)}:
            raise InferenceFailed(f"expected one logit an item, shape [{rows}, 1]; got {list(logits.shape)}")
        return np.asarray(logits, dtype=np.float32).reshape(rows)

    def _feed(self, batch: Batch) -> dict[str, Any]:
        feed: dict[str, Any] = {"input_ids": batch.input_ids_BT, "attention_mask": batch.attention_mask_BT}
        if "token_type_ids" in self._inputs:
            feed["token_type_ids"] = batch.token_type_ids_BT
        if "position_ids" in self._inputs:
            feed["position_ids"] = np.maximum(batch.attention_mask_BT.cumsum(axis=1) - 1, 0)
        return feed

    def close(self) -> None:
        """Drop the session. Idempotent."""
        with self._closing:
            self._session = None


def _session_options(external: Mapping[str, bytes], threads: int | None) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Spinning threads take the cores that tokenising and HTTP need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if external:
        names = list(external)
        buffers = [external[name] for name in names]
        options.add_external_initializers_from_files_in_memory(names, buffers, [len(data) for data in buffers])
    return options


def _brief(error: BaseException) -> str:
    """The first line of a runtime's message, bounded."""
    return str(error).strip().split("\n", 1)[0][:300]
