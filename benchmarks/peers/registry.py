"""The peers, in the order of the tables."""

from collections.abc import Sequence
from typing import Any

from benchmarks.peers.peer import Pairs, Peer


def _pairs(texts: Pairs) -> Any:
    return {"pairs": [list(pair) for pair in texts]}


def _prompts_and_responses(texts: Pairs) -> Any:
    return {"prompts": [prompt for prompt, _ in texts], "responses": [response for _, response in texts]}


def _rewards(reply: Any) -> list[float]:
    return [float(reward) for reward in reply["rewards"]]


def _rerank(texts: Pairs) -> Any:
    """A rerank request holds one query: texts of one prompt are asked as they are, others joined into documents.

    `/classify` would suit pairs of several prompts better, but Infinity refuses it for a model of one label. Joined, an
    item is [CLS] [SEP] prompt [SEP] response [SEP]: one token more, the same work, and other token types.
    """
    prompts = {prompt for prompt, _ in texts}
    if len(prompts) == 1:
        query, documents = prompts.pop(), [response for _, response in texts]
    else:
        query, documents = "", [f"{prompt} [SEP] {response}" for prompt, response in texts]
    return {"query": query, "documents": documents, "raw_scores": True}


def _scores(reply: Any) -> list[float]:
    """Infinity answers best first."""
    ordered = sorted(reply["results"], key=lambda result: int(result["index"]))
    return [float(result["relevance_score"]) for result in ordered]


PLAIN = Peer(
    name="plain",
    environment="plain",
    module="benchmarks.peers.plain.serve",
    path="/get_reward",
    health="/health",
    request=_prompts_and_responses,
    read=_rewards,
    note="FastAPI 0.165.0 + torch 2.13.0, as trainers serve rewards: one padded forward a request, no batching",
)
TUNED = Peer(
    name="tuned",
    environment="tuned",
    module="benchmarks.peers.tuned.serve",
    path="/score",
    health="/health",
    request=_pairs,
    read=_rewards,
    note="FastAPI 0.165.0 + onnxruntime 1.31.1, texts of all requests sorted by length into batches of at most 8",
)
TUNED_INT8 = Peer(
    name="tuned-int8",
    environment="tuned",
    module="benchmarks.peers.tuned.serve",
    path="/score",
    health="/health",
    request=_pairs,
    read=_rewards,
    note="`tuned` on the int8 file; a text's reward depends on its neighbors in the batch",
    int8=True,
    exact=False,
)
LITSERVE = Peer(
    name="litserve",
    environment="litserve",
    module="benchmarks.peers.litserve.serve",
    path="/predict",
    health="/health",
    request=_pairs,
    read=_rewards,
    note="LitServe 0.2.19 + onnxruntime 1.31.1, at most 8 requests within 5 ms, run 8 texts at a time as they came",
)
INFINITY = Peer(
    name="infinity",
    environment="infinity",
    module="benchmarks.peers.infinity.serve",
    path="/rerank",
    health="/health",
    request=_rerank,
    read=_scores,
    note="infinity-emb 0.0.78, torch 2.13.0, batches of at most 32 as it sorts them, pairs of several prompts joined",
    arguments=("--engine", "torch"),
    exact=False,
)
INFINITY_ONNX = Peer(
    name="infinity-onnx",
    environment="infinity",
    module="benchmarks.peers.infinity.serve",
    path="/rerank",
    health="/health",
    request=_rerank,
    read=_scores,
    note="as infinity, with optimum-onnx 0.1.0, onnxruntime 1.31.1; no token types; on all cores, no threads option",
    arguments=("--engine", "optimum"),
    exact=False,
)
PEERS: Sequence[Peer] = (PLAIN, TUNED, TUNED_INT8, LITSERVE, INFINITY, INFINITY_ONNX)
