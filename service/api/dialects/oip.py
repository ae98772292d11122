"""The Open Inference Protocol v2, as KServe's, Triton's and PyTriton's clients speak it: JSON and binary tensors.

Inputs: `text`, `query` or `sentences` (whole texts); `prompt` and `response`; `input_ids` and `attention_mask`;
`tokens` and `sequence_lengths` (NeMo-Aligner). Outputs, of shape [items, 1]: `score` and `rewards` (the raw reward),
`probability`.
"""

from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response
from msgspec import Struct, field

from service.api.calls import RequestPolicy, RequestScorer
from service.api.dialects import tensors
from service.api.dialects.common import (
    Dialect,
    Ignored,
    Json,
    Post,
    Wire,
    answer,
    read,
    values_of,
)
from service.api.dialects.oip_info import GETS, IDS, MODEL, OUTPUTS, TEXTS, selector
from service.api.shapes import INFERENCE
from service.domain import Item, RawText, RawTokens, ScoreItem
from service.errors import MalformedRequest

POLICY = RequestPolicy(timeout_s=50)
"""tritonclient gives up after 60 s."""
HEADER_LENGTH = "inference-header-content-length"
_LONGEST_US = 10**12


class TensorParameters(Wire):
    """Of one tensor."""

    binary_data_size: int | None = None
    binary_data: bool | None = None


class InputTensor(Wire):
    """Of shape [items] or [items, 1]; token ids [items, tokens]."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: TensorParameters = field(default_factory=TensorParameters)


class OutputTensor(Wire):
    """One that is asked for."""

    name: str
    parameters: TensorParameters = field(default_factory=TensorParameters)


class InferParameters(Wire):
    """Of the request. `timeout` in microseconds, 0: none. The others change no score."""

    timeout: int = 0
    priority: int = 0
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    binary_data_output: bool = False
    triton_enable_empty_final_response: bool = False


class Infer(Wire, kw_only=True):
    """An inference request."""

    id: str = ""
    model_name: Ignored = None
    """KServe's client says again what the path says."""
    parameters: InferParameters = field(default_factory=InferParameters)
    inputs: list[InputTensor]
    outputs: list[OutputTensor] | None = None


_INFER = msgspec.json.Decoder(Infer)


class _Given(Struct):
    """An input with its elements read."""

    shape: list[int]
    values: tensors.Values


async def infer(caller: RequestScorer, request: Request, body: bytes) -> Response:
    """Raw rewards and probabilities, as JSON or as binary tensors, as asked."""
    wire, blob = _split(request, body)
    items = _items(_read_inputs(wire, blob))
    names = [entry.name for entry in wire.outputs] if wire.outputs else list(OUTPUTS)
    for name in names:
        if name not in OUTPUTS:
            raise MalformedRequest(f"outputs are {', '.join(OUTPUTS)}", param="outputs")
    timeout = wire.parameters.timeout
    seconds = min(timeout, _LONGEST_US) / 1e6 if timeout > 0 else None
    scored = await caller.score(request, items, model=selector(request), policy=POLICY, timeout_s=seconds)
    raw, probability = values_of(scored, raw=True), values_of(scored, raw=False)
    outputs: list[Json] = []
    blobs: list[bytes] = []
    for name in names:
        values = probability if name == "probability" else raw
        output: Json = {"name": name, "datatype": "FP32", "shape": [len(values), 1]}
        if _binary(wire, name):
            blobs.append(tensors.to_bytes(values))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            output["data"] = values
        outputs.append(output)
    reply = answer(
        {"model_name": scored.manifest.model, "model_version": scored.digest, "id": wire.id, "outputs": outputs}, scored
    )
    return _with_blobs(reply, blobs) if blobs else reply


def _split(request: Request, body: bytes) -> tuple[Infer, memoryview]:
    """The JSON header, and the bytes behind it."""
    said = request.headers.get(HEADER_LENGTH)
    if said is None:
        return read(_INFER, body), memoryview(b"")
    if not (said.isascii() and said.isdigit() and len(said) <= 20 and int(said) <= len(body)):
        raise MalformedRequest("Inference-Header-Content-Length is not a length within the body", param=HEADER_LENGTH)
    view = memoryview(body)
    return read(_INFER, view[: int(said)]), view[int(said) :]


def _read_inputs(wire: Infer, blob: memoryview) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for tensor in wire.inputs:
        size = tensor.parameters.binary_data_size
        if (size is None) == (tensor.data is None):
            raise MalformedRequest("an input has either data or binary_data_size", param="inputs")
        if tensor.name in given:
            raise MalformedRequest("two inputs have one name", param="inputs")
        name = tensor.name if tensor.name in (*TEXTS, *IDS) else "of this name"
        if size is None:
            values = tensors.from_json(tensor.data, tensor.datatype, tensor.shape, name)
        else:
            if not 0 <= size <= len(blob):
                raise MalformedRequest(f"input {name}: binary_data_size is not within the body", param=name)
            values = tensors.from_bytes(blob[:size], tensor.datatype, tensor.shape, name)
            blob = blob[size:]
        given[tensor.name] = _Given(tensor.shape, values)
    if blob:
        raise MalformedRequest("bytes follow that belong to no input", param="inputs")
    return given


def _items(given: dict[str, _Given]) -> list[Item]:
    """Raises MalformedRequest for any other combination of inputs."""
    names = frozenset(given)
    if names in ({"text"}, {"query"}, {"sentences"}):
        [texts] = given.values()
        return [RawText(_text(value), special_tokens=True) for value in texts.values]
    if names == {"prompt", "response"}:
        prompts, responses = given["prompt"].values, given["response"].values
        if len(prompts) != len(responses):
            raise MalformedRequest("as many prompts as responses", param="prompt")
        return [ScoreItem(_text(a), _text(b)) for a, b in zip(prompts, responses, strict=True)]
    if names == {"input_ids", "attention_mask"}:
        return _masked(given["input_ids"], given["attention_mask"])
    if names == {"tokens", "sequence_lengths"}:
        ids = tensors.rows(_numbers(given["tokens"]), given["tokens"].shape, "tokens")
        lengths = _numbers(given["sequence_lengths"])
        if len(lengths) != len(ids) or not all(0 <= n <= len(ids[0]) for n in lengths):
            raise MalformedRequest("one length within the row for each row of tokens", param="sequence_lengths")
        return [RawTokens(tuple(row[:length])) for row, length in zip(ids, lengths, strict=True)]
    raise MalformedRequest(
        "inputs are text (or query, or sentences); prompt and response; input_ids and attention_mask; "
        "or tokens and sequence_lengths",
        param="inputs",
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedRequest("texts are of datatype BYTES", param="inputs")
    return value


def _numbers(given: _Given) -> list[int]:
    if not all(isinstance(value, int) for value in given.values):
        raise MalformedRequest("token ids, masks and lengths are of datatype INT64 or INT32", param="inputs")
    return given.values


def _masked(ids: _Given, mask: _Given) -> list[Item]:
    if ids.shape != mask.shape:
        raise MalformedRequest("attention_mask has another shape than input_ids", param="attention_mask")
    pairs = zip(
        tensors.rows(_numbers(ids), ids.shape, "input_ids"),
        tensors.rows(_numbers(mask), mask.shape, "attention_mask"),
        strict=True,
    )
    return [RawTokens(tuple(token for token, kept in zip(row, marks, strict=True) if kept)) for row, marks in pairs]


def _binary(wire: Infer, name: str) -> bool:
    for output in wire.outputs or ():
        if output.name == name and output.parameters.binary_data is not None:
            return output.parameters.binary_data
    return wire.parameters.binary_data_output


def _with_blobs(reply: Response, blobs: list[bytes]) -> Response:
    header = bytes(reply.body)
    kept = {name: value for name, value in reply.headers.items() if name.startswith("x-plurality")}
    headers = kept | {HEADER_LENGTH: str(len(header))}
    return Response(header + b"".join(blobs), media_type="application/octet-stream", headers=headers)


_EXAMPLE = {
    "inputs": [
        {"name": "prompt", "shape": [1], "datatype": "BYTES", "data": ["Name a prime number above ten."]},
        {"name": "response", "shape": [1], "datatype": "BYTES", "data": ["Eleven."]},
    ]
}
OIP = Dialect(
    "Open Inference Protocol",
    INFERENCE,
    (
        Post(
            tuple(f"{path}/infer" for path in MODEL),
            infer,
            Infer,
            _EXAMPLE,
            "Rewards of tensors of texts or token ids",
            binary=True,
        ),
    ),
    GETS,
)
