"""What the Open Inference Protocol tells about server and models: metadata, readiness, Triton's configuration."""

from fastapi import Request
from fastapi.responses import Response

from service.api.calls import RequestScorer
from service.api.dialects.common import Get, plain
from service.api.dialects.vllm_info import VERSION

OUTPUTS = ("score", "probability", "rewards")
TEXTS = ("text", "query", "sentences", "prompt", "response")
IDS = ("input_ids", "attention_mask", "tokens", "sequence_lengths")
MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


def selector(request: Request) -> str:
    """The model of the path; a version is an alias or the beginning of a digest."""
    name, version = request.path_params["model"], request.path_params.get("version")
    return f"{name}@{version}" if version else name


async def server(_: RequestScorer, __: Request) -> Response:
    """Server metadata."""
    return plain({"name": "plurality", "version": VERSION, "extensions": ["binary_tensor_data", "parameters"]})


async def live(_: RequestScorer, __: Request) -> Response:
    """The process answers."""
    return plain({"live": True})


async def ready(caller: RequestScorer, _: Request) -> Response:
    """A model can score. Both spellings: the protocol's text says `live` here, KServe sends `ready`."""
    caller.check_ready()
    return plain({"live": True, "ready": True})


async def model(caller: RequestScorer, request: Request) -> Response:
    """Model metadata."""
    with caller.live.pin(caller.resolve(selector(request))) as bundle:
        aliases = caller.live.snapshot.aliases[bundle.manifest.model]
        return plain(
            {
                "name": bundle.manifest.model,
                "versions": sorted({entry.digest for entry in aliases.values()}),
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("prompt", "response")],
                "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in OUTPUTS],
            }
        )


async def model_ready(caller: RequestScorer, request: Request) -> Response:
    """200 if it is resident."""
    caller.check_ready()
    with caller.live.pin(caller.resolve(selector(request))) as bundle:
        return plain({"name": bundle.manifest.model, "ready": True})


async def config(caller: RequestScorer, request: Request) -> Response:
    """Triton's model configuration: PyTriton's client reads it first, and then asks for every output that it names."""
    with caller.live.pin(caller.resolve(selector(request))) as bundle:
        texts = [{"name": name, "data_type": "TYPE_STRING", "dims": [1], "optional": True} for name in TEXTS]
        ids = [{"name": name, "data_type": "TYPE_INT64", "dims": [-1], "optional": True} for name in IDS]
        return plain(
            {
                "name": bundle.manifest.model,
                "platform": "onnxruntime_onnx",
                "max_batch_size": caller.limits.max_items_per_request,
                "input": texts + ids,
                "output": [{"name": name, "data_type": "TYPE_FP32", "dims": [1]} for name in OUTPUTS],
            }
        )


GETS = (
    Get(("/v2",), server, "Server metadata"),
    Get(("/v2/health/live",), live, "The process answers", probe=True),
    Get(("/v2/health/ready",), ready, "A model can score", probe=True),
    Get(tuple(f"{path}/ready" for path in MODEL), model_ready, "This model can score"),
    Get(tuple(f"{path}/config" for path in MODEL), config, "Model configuration, for PyTriton"),
    Get(MODEL, model, "Model metadata"),
)
