"""The dialects' words: flags that change a score are understood or refused, shared paths are told apart, errors have
the peer's shape.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_export.pipeline import recalibrate
from service.app import Service
from tests.api import settings_for, with_api
from tests.e2e.process import serving
from tests.service.api.dialects.asking import post
from tests.tiny import labeled_pairs

TEXT = "The end of it."
PAIR = ["Name a prime.", "Eleven, I believe."]
TURNS = [{"role": "user", "content": PAIR[0]}, {"role": "assistant", "content": PAIR[1]}]


@pytest.fixture(scope="module")
def api(published: Path) -> Iterator[httpx.Client]:
    """A client of one running process for all cases."""
    with serving(published) as server, httpx.Client(base_url=server.api, timeout=60) as client:
        yield client
        assert server.stop() == 0


async def reward(client: httpx.AsyncClient) -> float:
    body = {"items": [{"prompt": PAIR[0], "response": PAIR[1]}]}
    return float((await post(client, "/rm/v1/score", body))["items"][0]["reward"])


def test_activations_are_the_calibrated_probability(published: Path) -> None:
    """σ((r − r_ref)/T) wherever a peer would give σ(logit): by default, and by name."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        median = bundle.manifest.reward_statistics.quantiles["0.5"]
        expected = bundle.manifest.calibrator.probability(await reward(client) - median)
        assert bundle.manifest.calibrator.temperature != 1.0
        for flags in ({}, {"use_activation": True}, {"activation": True}, {"softmax": True}, {"use_activation": None}):
            found = await post(client, "/classify", {"messages": TURNS, **flags})
            assert found["data"][0]["probs"] == [pytest.approx(expected, abs=1e-12)]
            found = await post(client, "/score", {"text_1": PAIR[0], "text_2": PAIR[1], **flags})
            assert found["data"][0]["score"] == pytest.approx(expected, abs=1e-12)
        assert (await post(client, "/predict", {"inputs": PAIR}))[0]["score"] == pytest.approx(expected, abs=1e-12)
        hub = {"inputs": PAIR, "parameters": {"function_to_apply": "none"}}
        assert (await post(client, "/predict", hub))[0]["score"] == pytest.approx(await reward(client))
        infinity = await post(client, "/infinity/rerank", {"query": PAIR[0], "documents": [PAIR[1]]})
        assert infinity["results"][0]["relevance_score"] == pytest.approx(expected, abs=1e-12)
        openrlhf = await post(client, "/get_reward", {"query": ["".join(PAIR)], "prompts": [PAIR[0]]})
        assert openrlhf["scores"] == [pytest.approx(expected, abs=1e-12)]
        assert openrlhf["calibrated"] is True

    with_api(settings_for(published), story)


def tensor(shape: int, kind: str, *data: Any) -> dict[str, Any]:
    """A body of the Open Inference Protocol with one input."""
    entry = {"name": "text", "shape": [shape], "datatype": kind}
    return {"inputs": [entry | ({"data": list(data)} if data else {})]}


def tokens(shape: list[int], data: list[Any], *, kind: str = "INT64") -> dict[str, Any]:
    """Token ids with a mask of the same."""
    one = {"shape": shape, "datatype": kind, "data": data}
    return {"inputs": [{"name": "input_ids", **one}, {"name": "attention_mask", **one}]}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("/classify", {"input": "t", "normalize": True}, "normalize"),
    ("/classify", {"input": "t", "raw_scores": True}, "raw_scores"),
    ("/classify", {"input": "t", "apply_softmax": True}, "apply_softmax"),
    ("/classify", {"input": "t", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
    ("/classify", {"input": "t", "truncation_side": "right"}, "truncation_side"),
    ("/classify", {"messages": TURNS, "chat_template": "{{ x }}"}, "chat_template"),
    ("/classify", {"text": "t", "use_activation": False}, "use_activation"),
    ("/score", {"queries": "q", "documents": "d", "label_token_ids": [1]}, "label_token_ids"),
    ("/v1/rerank", {"query": "q", "documents": ["d"], "instruction": "i"}, "instruction"),
    ("/v2/rerank", {"query": "q", "documents": ["d"], "max_tokens_per_doc": 8}, "max_tokens_per_doc"),
    ("/v1/embeddings", {"input": "t", "dimensions": 1}, "dimensions"),
    ("/predict", {"inputs": "t", "softmax": True}, "softmax"),
    ("/predict", {"inputs": "t", "truncate": True, "truncation_direction": "Right"}, "truncation_direction"),
    ("/rerank", {"query": "q", "texts": ["t"], "use_activation": False}, "use_activation"),
    ("/infinity/classify", {"input": ["t"], "activation": False}, "activation"),
    ("/v1/models/tiny:predict", {"instances": ["t"], "temperature": 2}, "temperature"),
    ("/get_reward", {"query": ["t"], "normalize": True}, "normalize"),
    ("/v1/score/evaluation", {"messages": [], "max_length": 7}, "max_length"),
]


@pytest.mark.parametrize(("path", "body", "name"), REFUSED, ids=[f"{path} {name}" for path, _, name in REFUSED])
def test_score_changing_fields_are_refused_by_name(path: str, body: Any, name: str, api: httpx.Client) -> None:
    """400 that names the field; never dropped in silence."""
    reply = api.post(path, json=body)
    assert reply.status_code == 400, reply.text
    assert name in reply.text


@pytest.mark.parametrize(
    ("path", "body", "shape"),
    [
        ("/classify", {"input": 1}, "openai"),
        ("/classify", {"input": ["t", 1]}, "openai"),
        ("/classify", {"input": "t", "messages": TURNS}, "openai"),
        ("/classify", {"messages": TURNS[:1]}, "openai"),
        ("/classify", {"messages": [{"role": "tool", "content": "x"}, TURNS[1]]}, "openai"),
        ("/classify", {"text": "t", "input_ids": [1]}, "openai"),
        ("/classify", {"input": [[5, 99999]]}, "openai"),
        ("/classify", {"input": "t", "use_activation": True, "softmax": False}, "openai"),
        ("/classify", {"input": "word " * 900}, "openai"),
        ("/classify", {"model": "Org/other", "input": "t"}, "openai"),
        ("/score", {"queries": ["a", "b"], "documents": ["c", "d", "e"]}, "openai"),
        ("/score", {"queries": "a", "text_1": "a", "documents": "b"}, "openai"),
        ("/score", {"queries": "a"}, "openai"),
        ("/rerank", {"query": "q", "documents": ["d"], "top_n": -1}, "openai"),
        ("/infinity/rerank", {"query": "q", "documents": ["d"], "top_n": 0}, "openai"),
        ("/tokenize", {}, "openai"),
        ("/tokenize", {"prompt": "word " * 900}, "openai"),
        ("/tokenize", {"prompt": "t" * 100_001}, "openai"),
        ("/tokenize", {"messages": TURNS, "add_generation_prompt": True}, "openai"),
        ("/predict", {"inputs": "t", "raw_scores": True, "parameters": {"function_to_apply": "sigmoid"}}, "tei"),
        ("/predict", {"inputs": "t", "raw_scores": False, "parameters": {"function_to_apply": "none"}}, "tei"),
        ("/predict", {"inputs": ["a", "b", "c"]}, "tei"),
        ("/predict", {"inputs": [["a"], "b"]}, "tei"),
        ("/predict", {"inputs": "word " * 900}, "tei"),
        ("/rerank", {"query": "q", "texts": []}, "tei"),
        ("/get_reward", {"query": ["a"], "prompts": ["a", "b"]}, "detail"),
        ("/get_reward", {"query": ["a b"]}, "detail"),
        ("/get_reward", {"query": ["a b"], "prompts": ["b"]}, "detail"),
        ("/get_reward", {"prompts": ["a"], "responses": []}, "detail"),
        ("/get_reward", {"prompt": [{"role": "x", "content": "y"}], "response": "r"}, "detail"),
        ("/v1/score/evaluation", {"model": "model", "messages": ["whole text"]}, "detail"),
        ("/v1/models/tiny:predict", {"instances": [{"prompt": "p"}]}, "oip"),
        ("/v2/models/none/infer", {"inputs": []}, "oip"),
        ("/v2/models/none/infer", tensor(1, "BYTES", "t"), "oip"),
        ("/v2/models/tiny/infer", tensor(2, "BYTES", "t"), "oip"),
        ("/v2/models/tiny/infer", tensor(1, "INT64", 1), "oip"),
        ("/v2/models/tiny/infer", tensor(1, "BYTES"), "oip"),
        ("/v2/models/tiny/infer", {"inputs": tensor(1, "BYTES", "t")["inputs"] * 2}, "oip"),
        ("/v2/models/tiny/infer", tokens([10**30, 0], []), "oip"),
        ("/v2/models/tiny/infer", tokens([1, 1], ["A"], kind="BYTES"), "oip"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_the_peers_shape(path: str, body: Any, shape: str, api: httpx.Client) -> None:
    """4xx, the peer's own record, and never the caller's text."""
    reply = api.post(path, json=body)
    assert reply.status_code in {400, 404}, reply.text
    found = reply.json()
    if shape == "openai":
        assert set(found["error"]) == {"message", "type", "param", "code"}
        assert found["error"]["code"] == reply.status_code
    elif shape == "tei":
        assert set(found) == {"error", "error_type"}
        assert found["error_type"] == "validation"
    else:
        assert set(found) == {"detail" if shape == "detail" else "error"}
        assert isinstance(found["detail" if shape == "detail" else "error"], str)
    assert "whole text" not in reply.text
    assert "word word" not in reply.text


def test_an_empty_text_is_a_text(api: httpx.Client) -> None:
    """Not an empty list: it has a reward like any other."""
    one = api.post("/v1/classify", json={"input": "", "use_activation": False}).json()["data"]
    assert one == api.post("/v1/classify", json={"input": [""], "use_activation": False}).json()["data"]
    assert len(one) == 1


@pytest.mark.parametrize("path", ["/classify", "/predict", "/get_reward", "/v2/models/tiny/infer", "/v1/classify"])
def test_deep_nesting(path: str, api: httpx.Client) -> None:
    """An answer, whatever the depth, on shared paths and in fields that are not looked into."""
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (b'{"input": %s}', b'{"query": [], "labels": %s}', b'{"instances": %s}', b'{"input": "t", "user": %s}'):
        assert api.post(path, content=body % deep).status_code == 400


def test_huge_numbers(api: httpx.Client) -> None:
    """Times and lengths beyond all measure are bounded or refused, not 500."""
    timeout = tensor(1, "BYTES", "t") | {"parameters": {"timeout": 10**300}}
    assert api.post("/v2/models/tiny/infer", json=timeout).status_code == 200
    headers = {"inference-header-content-length": "0" * 20 + "9" * 4400}
    assert api.post("/v2/models/tiny/infer", content=b"{}", headers=headers).status_code == 400


def test_errors_never_hold_the_callers_text(api: httpx.Client) -> None:
    """Not even where it is made to look like msgspec's own words."""
    for body in ({"input": "t", "encoding_format": "x - at `$SECRET"}, {"input": "t", "x` - at `$SECRET": 1}):
        for path in ("/v1/embeddings", "/v1/classify"):
            reply = api.post(path, json=body)
            assert reply.status_code == 400
            assert "SECRET" not in reply.text
    assert "SECRET" not in api.post("/rm/v1/score", json={"items": [], "x` - at `$SECRET": 1}).text


def test_slashes_redirect_nowhere(api: httpx.Client) -> None:
    """A redirect would go to whatever host the client names."""
    assert api.post("/v1/classify/", json={"input": "t"}).status_code == 404


def test_the_order_is_that_of_the_rewards(store: Path, tiny_checkpoint: Path) -> None:
    """Also where a calibration is level and probabilities are equal: top_n keeps the best."""
    pairs = labeled_pairs(tiny_checkpoint, 60)
    recalibrate(store, "tiny", "stable", pairs, alias="stable", method="isotonic")
    documents = [f"Answer {number} {'so ' * number}" for number in range(20)]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        body = {"query": "q", "documents": documents}
        raw = (await post(client, "/rerank", body | {"use_activation": False}))["results"]
        order = [entry["index"] for entry in raw]
        soft = (await post(client, "/rerank", body))["results"]
        assert [entry["index"] for entry in soft] == order
        tei = await post(client, "/rerank", {"query": "q", "texts": documents})
        assert [entry["index"] for entry in tei] == order
        infinity = await post(client, "/infinity/rerank", body | {"top_n": 1})
        assert [entry["index"] for entry in infinity["results"]] == order[:1]

    with_api(settings_for(store), story)


def test_leaving_is_not_ready(published: Path) -> None:
    """Routers that probe this port see the drain; what is sent all the same is still answered."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        probes = ("/health", "/infinity/health", "/v2/health/ready", "/v2/models/tiny/ready", "/v1/models/tiny")
        for path in probes:
            assert (await client.get(path)).status_code == 200
        service.gate.leaving = True
        for path in probes:
            assert (await client.get(path)).status_code == 503
        assert (await client.post("/predict", json={"inputs": "t"})).status_code == 200

    with_api(settings_for(published), story)


def test_unknown_paths_have_a_shape_too(api: httpx.Client) -> None:
    """A client that asks for what is not there can read why: under /v2 the reason is a string."""
    assert api.get("/v2/models/tiny/nothing").json() == {"error": "not found"}
    assert set(api.get("/v1/nothing").json()["error"]) == {"message", "type", "param", "code"}
    assert set(api.get("/nothing").json()["error"]) == {"code", "message", "param", "request_id"}


@pytest.mark.parametrize("path", ["/classify", "/get_reward", "/rerank", "/predict", "/"])
def test_shared_paths(path: str, api: httpx.Client) -> None:
    """A body that is nobody's is told what would make it somebody's; so is one that is no JSON."""
    reply = api.post(path, json={"prompt_ids": [1]})
    assert reply.status_code == 400
    assert "shared" in reply.text or "unknown field" in reply.text
    reply = api.post(path, content=b"{", headers={"content-type": "application/json"})
    assert reply.status_code == 400


def test_a_cut_is_asked_for_and_reported(api: httpx.Client) -> None:
    """What is too long is cut from the left where the client allows it, and the reply says so."""
    long = {"inputs": "word " * 900 + "end", "truncate": True, "raw_scores": True}
    reply = api.post("/predict", json=long)
    assert (reply.status_code, reply.headers["x-plurality-truncated"]) == (200, "1")
    shorter = api.post("/predict", json=long | {"inputs": "word " * 800 + "end"})
    assert shorter.json() == reply.json()
    vllm = api.post("/classify", json={"input": long["inputs"], "truncate_prompt_tokens": -1, "use_activation": False})
    assert vllm.json()["data"][0]["probs"][0] == pytest.approx(reply.json()[0]["score"], abs=1e-6)
    body = {"query": ["p " + "word " * 900], "prompts": ["p "]}
    openrlhf = api.post("/get_reward", json=body).json()
    assert openrlhf["extra_logs"]["truncated"] == [1]


def test_names_that_clients_know(published: Path) -> None:
    """A setting maps a trainer's name of the reward model to ours; our own names go on."""

    def models(names: dict[str, str]) -> Any:
        return settings_for(published, dialects={"models": names})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for name in ("/models/rm", "tiny", "tiny@stable", None):
            assert "data" in await post(client, "/classify", {"model": name, "input": "t"})
        assert (await client.post("/rm/v1/score", json={"model": "/models/rm", "items": []})).status_code == 404

    async def absent(client: httpx.AsyncClient, service: Service) -> None:
        for name in ("tiny@deadbeefdeadbeef", "tiny@nosuch"):
            assert (await client.post("/classify", json={"model": name, "input": "t"})).status_code == 404

    with_api(models({"/models/rm": "tiny"}), story)
    with_api(models({"*": "tiny@stable"}), story)
    with_api(models({"*": "tiny@stable"}), absent)


def test_sglangs_rerank_by_setting(published: Path) -> None:
    """The same request, another reply."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        body = {"query": PAIR[0], "documents": [PAIR[1], TEXT]}
        reply = await post(client, "/v1/rerank", body)
        assert {entry["index"] for entry in reply} == {0, 1}
        assert max(entry["score"] for entry in reply) == reply[0]["score"]
        assert "results" in await post(client, "/rerank", body)

    with_api(settings_for(published, dialects={"rerank": "sglang"}), story)


def test_not_ready(tmp_path: Path) -> None:
    """Without a model: 503 in the peer's shape, on health too."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for path in ("/health", "/infinity/health", "/v2/health/ready", "/v2/models/tiny/ready", "/info"):
            reply = await client.get(path)
            assert reply.status_code == 503, path
            assert int(reply.headers["retry-after"]) >= 1
        assert (await client.get("/v2/health/live")).status_code == 200
        assert (await client.post("/predict", json={"inputs": "t"})).json()["error_type"] == "unhealthy"

    with_api(settings_for(tmp_path), story)


def test_metrics_know_the_routes(published: Path) -> None:
    """A route's label is its template: models and unknown paths make no new series."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await client.post("/v1/models/tiny:predict", json={"instances": ["t"]})
        await client.post("/v1/models/other:predict", json={"instances": ["t"]})
        await client.post("/get_reward", json={"query": []})
        await client.get("/nowhere")
        text = service.metrics.render().decode()
        assert 'route="/v1/models/{model}:predict"' in text
        assert 'route="/get_reward"' in text
        assert 'route="other"' in text
        assert "nowhere" not in text

    with_api(settings_for(published), story)
