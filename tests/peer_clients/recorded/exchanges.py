"""What clients send, byte for byte, and what they read of the reply, in our own words, with the source that says so.

"seen": the client ran against a recording server. "read": its source was read, and the bytes are those that its HTTP
library (requests or aiohttp: `json.dumps` with its defaults) makes of the body.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Says = Literal["reward", "probability"]
JSON = ("Content-Type", "application/json")
PAIRS = (("Is it a café?", "Yes."), ("Name a prime.", "Eleven.\n"))
CHATS = (
    b"<|start_header_id|>user<|end_header_id|>\\n\\nIs it a caf\\u00e9?<|eot_id|>"
    b"<|start_header_id|>assistant<|end_header_id|>\\n\\nYes.<|eot_id|>",
    b"<|start_header_id|>user<|end_header_id|>\\n\\nName a prime.<|eot_id|>"
    b"<|start_header_id|>assistant<|end_header_id|>\\n\\nEleven.<|eot_id|>",
)
"""The pairs in a Llama 3 template without BOS, as JSON spells them."""
_AIOHTTP = (("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"), ("User-Agent", "Python/3.11 aiohttp/3.14.5"), JSON)
_REQUESTS = (
    ("User-Agent", "python-requests/2.34.2"), ("Accept-Encoding", "gzip, deflate"), ("Accept", "*/*"),
    ("Connection", "keep-alive"), JSON,
)  # fmt: skip


@dataclass(frozen=True)
class Exchange:
    """One request, and how its client reads the reply."""

    client: str
    source: str
    """Repository or distribution, path, version; seen or read."""
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    read: Callable[[Any], list[float]]
    """From the reply's JSON to the numbers that the client goes on with."""
    scores: tuple[tuple[str, str], ...] = PAIRS
    """What these numbers are of."""
    says: Says = "reward"
    model: Literal["pair", "chat"] = "pair"


def _number(reply: Any) -> list[float]:
    return [float(reply)]


def _rewards(reply: Any) -> list[float]:
    return list(reply["rewards"])


def _last_class(reply: Any) -> list[float]:
    return [reply["data"][-1]["probs"][-1]]


def _by_document(reply: Any) -> list[float]:
    return [entry["relevance_score"] for entry in sorted(reply["results"], key=lambda entry: entry["index"])]


_SLIME = "THUDM/slime, slime/rollout/rm_hub/__init__.py remote_rm, 624b824; seen"
_OPENRLHF_8 = "PyPI openrlhf 0.8.11, openrlhf/utils/remote_rm_utils.py RemoteRewardModel; read"
_OPENRLHF_10 = "PyPI openrlhf 0.10.4, openrlhf/utils/agent.py _fetch_rewards_via_http; read"
_VERL_7 = "PyPI verl 0.7.0, verl/experimental/reward_loop/reward_loop.py compute_score_disrm; read"
_VLLM = "vllm-project/vllm, examples/online_serving/openai_cross_encoder_score.py, 1602280; read"

EXCHANGES = (
    Exchange(
        "slime, a text", _SLIME, "/get_reward", _AIOHTTP,
        rb'{"prompt": "Is it a caf\u00e9?", "response": "Yes.", "label": "label"}',
        _number, PAIRS[:1],
    ),
    Exchange(
        "slime, messages", _SLIME, "/get_reward", _AIOHTTP,
        rb'{"prompt": [{"role": "user", "content": "Is it a caf\u00e9?"}], "response": "Yes.", "label": "label"}',
        _number, PAIRS[:1],
    ),
    Exchange(
        "slime, --reward-key score", _SLIME, "/get_reward?reply=object", _AIOHTTP,
        rb'{"prompt": [{"role": "user", "content": "Name a prime."}], "response": "Eleven.\n", "label": "label"}',
        lambda reply: [reply["score"]], PAIRS[1:],
    ),
    Exchange(
        "align-anything",
        "PKU-Alignment/align-anything, align_anything/models/remote_rm/remote_rm_client.py, 3f9decc; seen",
        "/get_reward", _REQUESTS,
        rb'{"prompts": ["Is it a caf\u00e9?", "Name a prime."], "responses": ["Yes.", "Eleven.\n"]}',
        _rewards,
    ),
    Exchange(
        "OpenRLHF before 2026, a micro-batch", _OPENRLHF_8, "/get_reward", _REQUESTS,
        rb'{"query": ["Is it a caf\u00e9?Yes.", "Name a prime.Eleven.\n"], '
        rb'"prompts": ["Is it a caf\u00e9?", "Name a prime."], "labels": [null, 7]}',
        _rewards,
    ),
    Exchange(
        "OpenRLHF 0.10, the second of two servers", _OPENRLHF_10, "/get_reward", _AIOHTTP,
        rb'{"query": [], "prompts": [], "labels": []}',
        _rewards, (),
    ),
    Exchange(
        "verl 0.7, before vLLM renamed the flag", _VERL_7, "/classify", _AIOHTTP,
        rb'{"model": "chatty", "input": "' + CHATS[0] + rb'", "activation": false}',
        _last_class, PAIRS[:1], model="chat",
    ),
    Exchange(
        "vLLM's example of /score, one query", _VLLM, "/score", (*_REQUESTS[1:], ("User-Agent", "Test Client")),
        rb'{"model": "tiny", "data_1": "Is it a caf\u00e9?", "data_2": ["Yes.", "Eleven.\n"]}',
        lambda reply: [entry["score"] for entry in reply["data"]],
        tuple((PAIRS[0][0], response) for _, response in PAIRS), "probability",
    ),
    Exchange(
        "vLLM's example of /score, lists", _VLLM, "/score", (*_REQUESTS[1:], ("User-Agent", "Test Client")),
        rb'{"model": "tiny", "data_1": ["Is it a caf\u00e9?", "Name a prime."], "data_2": ["Yes.", "Eleven.\n"]}',
        lambda reply: [entry["score"] for entry in reply["data"]],
        says="probability",
    ),
)  # fmt: skip
