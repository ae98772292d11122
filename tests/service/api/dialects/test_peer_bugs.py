"""What other servers get wrong in silence, each as a test of ours; the thread is named where there is one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import settings_for, with_api
from tests.e2e.process import serving
from tests.service.api.dialects.asking import post

TEXTS = ["Eleven is prime.", "Twelve.", "No idea, sorry, but thank you for asking me.", ""]


@pytest.fixture(scope="module")
def api(published: Path) -> Iterator[httpx.Client]:
    """A client of one running process."""
    with serving(published) as server, httpx.Client(base_url=server.api, timeout=60) as client:
        yield client
        assert server.stop() == 0


def ask(api: httpx.Client, path: str, body: Any) -> Any:
    reply = api.post(path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_one_label_is_no_softmax(api: httpx.Client) -> None:
    """SGLang /v1/classify, and vLLM before #18313: softmax over one label is 1.0 for every text."""
    for flag in ({}, {"softmax": True}, {"use_activation": True}):
        data = ask(api, "/v1/classify", {"input": TEXTS[:3], **flag})["data"]
        probabilities = [entry["probs"][0] for entry in data]
        assert len(set(probabilities)) == 3
        assert all(0 < value < 1 for value in probabilities)


def test_errors_are_no_rewards(api: httpx.Client) -> None:
    """SGLang answers a processing error with probs [1.0], label "Default", status 200; others with 0.0."""
    for path, body in (
        ("/v1/classify", {"input": [[999999]]}),
        ("/classify", {"text": "word " * 900}),
        ("/v1/embeddings", {"input": [[]]}),
        ("/infinity/classify", {"input": ["fine", "word " * 900]}),
    ):
        reply = api.post(path, json=body)
        assert reply.status_code == 400
        assert "Default" not in reply.text
        assert "probs" not in reply.text


def test_renamed_flags(api: httpx.Client) -> None:
    """vLLM's softmax -> activation -> use_activation: all three give the raw reward; a typo is refused, not ignored."""
    raw = [
        ask(api, "/classify", {"input": TEXTS[0], flag: False})["data"][0]["probs"][0]
        for flag in ("softmax", "activation", "use_activation")
    ]
    assert len(set(raw)) == 1
    assert raw[0] == ask(api, "/classify", {"text": TEXTS[0]})["embedding"][0]
    assert api.post("/classify", json={"input": TEXTS[0], "use_activations": False}).status_code == 400


def test_raw_scores_is_honored(api: httpx.Client) -> None:
    """Infinity's /classify accepts raw_scores and ignores it."""
    scores = [
        ask(api, "/infinity/classify", {"input": [TEXTS[0]], "raw_scores": raw})["data"][0][0]["score"]
        for raw in (True, False)
    ]
    assert scores[0] != scores[1]
    assert scores[0] == ask(api, "/classify", {"text": TEXTS[0]})["embedding"][0]


def test_rewards_and_scores_differ(api: httpx.Client) -> None:
    """OpenRLHF's serve_rm puts the raw reward in both; `scores` is meant to be in [0, 1]. extra_logs: numbers only."""
    reply = ask(api, "/get_reward", {"query": ["p " + text for text in TEXTS], "prompts": ["p "] * len(TEXTS)})
    assert all(0 < score < 1 for score in reply["scores"])
    assert reply["rewards"] != reply["scores"]
    for values in reply["extra_logs"].values():
        assert len(values) == len(TEXTS)
        assert all(isinstance(value, int | float) for value in values)


def test_empty_lists(api: httpx.Client) -> None:
    """serve_rm answers empty lists with 500, so that a second URL loses every reward."""
    reply = ask(api, "/get_reward", {"query": [], "prompts": [], "labels": []})
    assert (reply["rewards"], reply["scores"]) == ([], [])
    assert all(values == [] for values in reply["extra_logs"].values())
    assert ask(api, "/get_reward", {"prompts": [], "responses": []}) == {"rewards": []}
    assert ask(api, "/classify", {"input": []})["data"] == []


def test_labels_may_be_anything(api: httpx.Client) -> None:
    """Old clients send query alone; labels are null, numbers, strings or records."""
    for labels in (None, [None], [3.5], ["a"], [{"answer": 1}]):
        assert len(ask(api, "/get_reward", {"query": ["p r"], "prompts": ["p"], "labels": labels})["rewards"]) == 1


def test_one_pair_is_not_two_texts(api: httpx.Client) -> None:
    """TEI: inputs ["a", "b"] is one pair, [["a"], ["b"]] two texts."""
    assert len(ask(api, "/predict", {"inputs": TEXTS[:2]})) == 1
    assert len(ask(api, "/predict", {"inputs": [[TEXTS[0]], [TEXTS[1]]]})) == 2
    pair = ask(api, "/predict", {"inputs": [TEXTS[:2]], "raw_scores": True})[0][0]["score"]
    native = ask(api, "/rm/v1/score", {"items": [{"prompt": TEXTS[0], "response": TEXTS[1]}]})
    assert pair == native["items"][0]["reward"]


def test_batches_beyond_32(api: httpx.Client) -> None:
    """TEI refuses more than 32 inputs (#378)."""
    assert len(ask(api, "/predict", {"inputs": [[f"text {i}"] for i in range(200)]})) == 200


def test_order_is_kept_where_probabilities_saturate(published: Path) -> None:
    """Infinity #203, haiku.rag #529: scores round to 1.0 and the order is lost; here it is the rewards'."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        documents = [f"Answer {number} {'so ' * number}" for number in range(30)]
        body = {"query": "q", "documents": documents}
        soft = (await post(client, "/rerank", body))["results"]
        hard = (await post(client, "/rerank", body | {"use_activation": False}))["results"]
        assert [entry["index"] for entry in soft] == [entry["index"] for entry in hard]
        assert len({entry["relevance_score"] for entry in soft}) == len({entry["relevance_score"] for entry in hard})

    with_api(settings_for(published), story)


def test_the_same_score_whatever_the_batch(api: httpx.Client) -> None:
    """reward-bench #137, sglang #2427: the score of a text changes with its batch."""
    alone = [ask(api, "/classify", {"text": text})["embedding"][0] for text in TEXTS[:3]]
    together = ask(api, "/classify", {"text": [*TEXTS[:3], "a much longer neighbor " * 40]})
    for one, many in zip(alone, together, strict=False):
        assert many["embedding"][0] == pytest.approx(one, abs=1e-5)


def test_no_silent_truncation(api: httpx.Client) -> None:
    """Infinity #561, TEI #218: tokenizers cut in silence. Here: refused, or cut when asked and said so."""
    long = "word " * 900
    assert api.post("/infinity/rerank", json={"query": "q", "documents": [long]}).status_code == 400
    assert api.post("/rerank", json={"query": "q", "texts": [long]}).status_code == 400
    cut = api.post("/rerank", json={"query": "q", "texts": [long], "truncate": True})
    assert (cut.status_code, cut.headers["x-plurality-truncated"]) == (200, "1")


def test_the_end_is_kept(api: httpx.Client) -> None:
    """reward-bench #35: cut from the left; texts that differ at their end only keep different rewards."""
    rewards = {
        ask(api, "/get_reward", {"query": ["p " + "word " * 900 + end], "prompts": ["p "]})["rewards"][0]
        for end in ("yes.", "no, never.")
    }
    assert len(rewards) == 2


def test_json_holds_no_nan(api: httpx.Client) -> None:
    """Triton and KServe can emit NaN in JSON, TEI a 424: here every body is strict JSON, and NaN input is refused."""

    def strict(constant: str) -> Any:
        raise AssertionError(constant)

    for path, body in (("/classify", {"input": TEXTS[0]}), ("/predict", {"inputs": TEXTS[0]})):
        json.loads(api.post(path, json=body).content, parse_constant=strict)
    bad = b'{"inputs": [{"name": "tokens", "shape": [1], "datatype": "INT64", "data": [NaN]}]}'
    assert api.post("/v2/models/tiny/infer", content=bad).status_code == 400


def test_bare_bodies(api: httpx.Client) -> None:
    """Triton's clients send no Content-Type; slime's reward is the whole body."""
    body = json.dumps({"prompt": "p", "response": "r", "label": None}).encode()
    reply = api.post("/get_reward", content=body)
    assert isinstance(reply.json(), float)
    assert reply.headers["content-type"] == "application/json"
    found = api.post("/get_reward?reply=object", content=body).json()
    assert found["score"] == reply.json()
    assert 0 < found["probability"] < 1


def test_a_plain_reward_model_can_rerank(api: httpx.Client) -> None:
    """vLLM: "does not support Score API" for a reward model (LlamaFactory #9540)."""
    reply = ask(api, "/score", {"queries": "q", "documents": TEXTS[:2]})
    assert [entry["index"] for entry in reply["data"]] == [0, 1]


def test_every_reply_names_its_version(api: httpx.Client) -> None:
    """Rewards of two versions must not mix unseen under a running loop."""
    served = api.get("/rm/v1/models").json()["versions"][0]["model"]["version"]
    for path, body in (("/predict", {"inputs": "t"}), ("/get_reward", {"prompts": ["p"], "responses": ["r"]})):
        reply = api.post(path, json=body)
        assert reply.headers["x-plurality-model"] == f"tiny@{served[:12]}"
