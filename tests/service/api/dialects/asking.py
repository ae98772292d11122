"""How a test asks each dialect for rewards of (prompt, response) texts, and what it should be told."""

import json
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import httpx
import numpy as np

from service.bundle.formats import ChatFormat
from service.bundle.tokenize import render_chat
from service.domain import Encoding, ScoreItem
from service.versions.resident import ResidentVersion

Items = Sequence[ScoreItem]
Numbers = list[float]


@dataclass(frozen=True, slots=True)
class Known:
    """What a test knows of the served version."""

    bundle: ResidentVersion

    @property
    def name(self) -> str:
        return self.bundle.manifest.model

    def whole(self, item: ScoreItem) -> str:
        """A chat as a trainer renders it."""
        form = self.bundle.manifest.input_format
        assert isinstance(form, ChatFormat)
        return render_chat(item, form).text

    async def ids(self, items: Items) -> list[list[int]]:
        encoded = await self.bundle.encode(items)
        assert all(isinstance(entry, Encoding) for entry in encoded)
        return [list(entry.ids) for entry in encoded if isinstance(entry, Encoding)]


Ask = Callable[[httpx.AsyncClient, Known, Items], Awaitable[Numbers]]


async def post(client: httpx.AsyncClient, path: str, body: Any) -> Any:
    reply = await client.post(path, json=body)
    assert reply.status_code == 200, f"{path}: {reply.status_code} {reply.text}"
    return reply.json()


def prompts(items: Items) -> list[str]:
    return [str(item.prompt) for item in items]


def responses(items: Items) -> list[str]:
    return [item.response for item in items]


async def native(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"items": [{"prompt": item.prompt, "response": item.response} for item in items]}
    return [entry["reward"] for entry in (await post(client, "/rm/v1/score", body))["items"]]


async def openrlhf_pair(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"query": [f"{item.prompt}{item.response}" for item in items], "prompts": prompts(items), "labels": None}
    return list((await post(client, "/get_reward", body))["rewards"])


async def openrlhf_chat(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    return list((await post(client, "/get_reward", {"query": [known.whole(item) for item in items]}))["rewards"])


async def align_anything(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    return list(
        (await post(client, "/get_reward", {"prompts": prompts(items), "responses": responses(items)}))["rewards"]
    )


async def slime(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    return [
        await post(client, "/get_reward", {"prompt": item.prompt, "response": item.response, "label": None})
        for item in items
    ]


async def llamafactory(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"model": "model", "messages": [known.whole(item) for item in items]}
    return list((await post(client, "/v1/score/evaluation", body))["scores"])


async def vllm_messages(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    found = []
    for item in items:
        turns = [{"role": "user", "content": item.prompt}, {"role": "assistant", "content": item.response}]
        body = {"messages": turns, "use_activation": False}
        found.append((await post(client, "/classify", body))["data"][-1]["probs"][-1])
    return found


def vllm_input(path: str, **extra: Any) -> Ask:
    async def ask(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
        body = {"input": [known.whole(item) for item in items], "use_activation": False, **extra}
        data = (await post(client, path, body))["data"]
        return [entry["probs" if "classify" in path else "data"][0] for entry in data]

    return ask


async def vllm_ids(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"input": await known.ids(items), "activation": False}
    return [entry["probs"][0] for entry in (await post(client, "/v1/classify", body))["data"]]


def vllm_score(path: str, first: str, second: str) -> Ask:
    async def ask(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
        body = {first: prompts(items), second: responses(items), "softmax": False}
        return [entry["score"] for entry in (await post(client, path, body))["data"]]

    return ask


def rerank(path: str, field: str, answers: str | None, number: str, flag: dict[str, bool]) -> Ask:
    """A request for each prompt, with its responses; the reply is sorted, and put back in order here."""

    async def ask(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
        found: Numbers = []
        for prompt, group in groupby(items, key=lambda item: item.prompt):
            texts = responses(list(group))
            reply = await post(client, path, {"query": prompt, field: texts, **flag})
            results = reply[answers] if answers else reply
            values = [entry[number] for entry in results]
            assert values == sorted(values, reverse=True)
            by_place = {entry["index"]: entry[number] for entry in results}
            found += [by_place[place] for place in range(len(texts))]
        return found

    return ask


async def sglang_text(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    reply = await post(client, "/classify", {"text": [known.whole(item) for item in items]})
    return [entry["embedding"][0] for entry in reply]


async def sglang_ids(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    reply = await post(client, "/classify", {"input_ids": await known.ids(items)})
    return [entry["embedding"][0] for entry in reply]


async def embeddings(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    reply = await post(client, "/v1/embeddings", {"input": [known.whole(item) for item in items]})
    return [entry["embedding"][0] for entry in reply["data"]]


async def tei_pairs(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"inputs": [[item.prompt, item.response] for item in items], "raw_scores": True}
    return [entry[0]["score"] for entry in await post(client, "/predict", body)]


async def infinity_text(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"input": [known.whole(item) for item in items], "raw_scores": True}
    return [entry[0]["score"] for entry in (await post(client, "/infinity/classify", body))["data"]]


def strings(values: Sequence[str]) -> bytes:
    """BYTES elements of a binary tensor."""
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


async def oip_json(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    inputs = [
        {"name": name, "shape": [len(items)], "datatype": "BYTES", "data": values}
        for name, values in (("prompt", prompts(items)), ("response", responses(items)))
    ]
    reply = await post(client, f"/v2/models/{known.name}/infer", {"inputs": inputs, "outputs": [{"name": "score"}]})
    assert reply["outputs"][0]["shape"] == [len(items), 1]
    return list(reply["outputs"][0]["data"])


async def oip_ids(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    rows = await known.ids(items)
    width = max(len(row) for row in rows)
    ids = [row + [0] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    inputs = [
        {"name": name, "shape": [len(rows), width], "datatype": "INT64", "data": values}
        for name, values in (("input_ids", ids), ("attention_mask", mask))
    ]
    reply = await post(client, f"/v2/models/{known.name}/versions/stable/infer", {"inputs": inputs})
    return list(reply["outputs"][0]["data"])


async def oip_nemo(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    rows = await known.ids(items)
    width = max(len(row) for row in rows)
    tokens = np.array([row + [0] * (width - len(row)) for row in rows], "<i8").tobytes()
    lengths = np.array([len(row) for row in rows], "<i8").tobytes()
    outputs = await binary(
        client,
        known,
        [("tokens", [len(rows), width], "INT64", tokens), ("sequence_lengths", [len(rows), 1], "INT64", lengths)],
    )
    return outputs["rewards"]


async def oip_binary(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    tensors = [
        (name, [len(items), 1], "BYTES", strings(values))
        for name, values in (("prompt", prompts(items)), ("response", responses(items)))
    ]
    return (await binary(client, known, tensors))["score"]


async def binary(
    client: httpx.AsyncClient, known: Known, tensors: Sequence[tuple[str, list[int], str, bytes]]
) -> dict[str, Numbers]:
    """Triton's binary extension, both ways."""
    inputs = [
        {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": len(data)}}
        for name, shape, kind, data in tensors
    ]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    reply = await client.post(
        f"/v2/models/{known.name}/infer",
        content=header + b"".join(data for *_, data in tensors),
        headers={"inference-header-content-length": str(len(header)), "content-type": "application/octet-stream"},
    )
    assert reply.status_code == 200, reply.text
    size = int(reply.headers["inference-header-content-length"])
    answer, rest = json.loads(reply.content[:size]), reply.content[size:]
    found: dict[str, Numbers] = {}
    for output in answer["outputs"]:
        taken, rest = rest[: output["parameters"]["binary_data_size"]], rest[output["parameters"]["binary_data_size"] :]
        found[output["name"]] = np.frombuffer(taken, "<f4").astype(float).tolist()
        assert output["shape"] == [len(found[output["name"]]), 1]
    assert rest == b""
    return found


async def kserve(client: httpx.AsyncClient, known: Known, items: Items) -> Numbers:
    body = {"instances": [{"prompt": item.prompt, "response": item.response} for item in items]}
    return list((await post(client, f"/v1/models/{known.name}:predict", body))["predictions"])


RAW = {"use_activation": False}
BOTH: dict[str, Ask] = {
    "align-anything": align_anything,
    "slime": slime,
    "vLLM /classify messages": vllm_messages,
    "vLLM /v1/classify ids": vllm_ids,
    "vLLM /score queries": vllm_score("/score", "queries", "documents"),
    "vLLM /v1/score text_1": vllm_score("/v1/score", "text_1", "text_2"),
    "vLLM /score data_1": vllm_score("/score", "data_1", "data_2"),
    "vLLM /rerank": rerank("/rerank", "documents", "results", "relevance_score", RAW),
    "Cohere /v2/rerank": rerank("/v2/rerank", "documents", "results", "relevance_score", RAW),
    "Jina /v1/rerank": rerank("/v1/rerank", "documents", "results", "relevance_score", RAW),
    "SGLang /classify input_ids": sglang_ids,
    "TEI /predict pairs": tei_pairs,
    "TEI /rerank": rerank("/rerank", "texts", None, "score", {"raw_scores": True}),
    "Infinity /rerank": rerank("/infinity/rerank", "documents", "results", "relevance_score", {"raw_scores": True}),
    "OIP JSON": oip_json,
    "OIP binary": oip_binary,
    "OIP input_ids": oip_ids,
    "OIP tokens (NeMo)": oip_nemo,
    "KServe v1": kserve,
}
"""On any model: these say where the response begins, or send the ids."""
PAIR_ONLY: dict[str, Ask] = {"OpenRLHF with prompts": openrlhf_pair}
CHAT_ONLY: dict[str, Ask] = {
    "OpenRLHF": openrlhf_chat,
    "LlamaFactory": llamafactory,
    "vLLM /classify input": vllm_input("/classify"),
    "vLLM /classify without special tokens": vllm_input("/classify", add_special_tokens=False),
    "vLLM /pooling": vllm_input("/pooling"),
    "SGLang /classify text": sglang_text,
    "SGLang /v1/embeddings": embeddings,
    "Infinity /classify": infinity_text,
}
"""Whole rendered texts: a chat model reads them as the native route renders them."""
