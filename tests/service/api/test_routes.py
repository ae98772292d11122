"""The native API against a real exported model."""

import math
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import recalibrate
from service.api.schemas import ModelsResponse, PreferenceResponse, RankResponse, ScoreResponse
from service.app import Service
from service.bundle.calibrate import sigmoid
from service.domain import ScoreItem
from tests.api import error_of, settings_for, with_api
from tests.tiny import labeled_pairs

ITEMS = [
    {"prompt": "Name a prime number.", "response": "Seven, because nothing divides it."},
    {"prompt": "", "response": ""},
    {"prompt": "word " * 900, "response": "The end of a long answer. " * 60},
    {"prompt": "Say hello 🙂", "response": "東京 \u0000 café \u202e"},
]


def test_rewards_are_those_of_torch(published: Path, tiny_checkpoint: Path) -> None:
    """The service's reward of any text is torch's logit less the center, and cuts are reported."""
    checkpoint = open_checkpoint(str(tiny_checkpoint))
    items = [ScoreItem(item["prompt"], item["response"]) for item in ITEMS]
    logits = checkpoint.logits(checkpoint.encode(items))

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        reply = (await client.post("/rm/v1/score", json={"items": ITEMS})).json()
        msgspec.convert(reply, ScoreResponse)
        for entry, logit in zip(reply["items"], logits, strict=True):
            assert entry["reward"] == pytest.approx(logit - bundle.manifest.center, abs=1e-4)
        assert [entry["truncated"] for entry in reply["items"]] == [False, False, True, False]
        assert reply["items"][2]["tokens"] == bundle.manifest.input_format.max_length
        assert reply["items"][2]["cut_tokens"] > 0
        assert reply["model"]["version"] == bundle.digest
        assert reply["model"]["calibrated"] is True

    with_api(settings_for(published), story)


def test_preference(published: Path) -> None:
    """Probabilities follow from the rewards by the manifest's temperature; swapping a and b gives 1 - P."""
    first, second = ITEMS[0]["response"], "No idea, go away."
    pair = {"prompt": "Name a prime.", "response_a": first, "response_b": second}
    swapped = {"prompt": "Name a prime.", "response_a": second, "response_b": first}

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        reply = (await client.post("/rm/v1/preference", json={"pairs": [pair, swapped]})).json()
        msgspec.convert(reply, PreferenceResponse)
        there, back = reply["pairs"]
        gap = there["a"]["reward"] - there["b"]["reward"]
        assert there["reward_diff"] == gap
        assert there["raw_probability"] == pytest.approx(sigmoid(gap), abs=1e-12)
        assert there["probability"] == pytest.approx(sigmoid(gap / bundle.manifest.calibrator.temperature), abs=1e-12)
        assert there["expected_disagreement"] == pytest.approx(1 - abs(2 * there["probability"] - 1), abs=1e-12)
        assert there["probability"] + back["probability"] == pytest.approx(1.0, abs=1e-6)

    with_api(settings_for(published), story)


def test_a_source_has_its_own_temperature(store: Path, tiny_checkpoint: Path) -> None:
    """Calibrated per source and served: the pair's source chooses, an unknown one gets the pooled temperature."""
    pairs = [
        pair.model_copy(update={"source": "web"} if i % 2 else {"source": "talk", "label": 0.4 + 0.2 * pair.label})
        for i, pair in enumerate(labeled_pairs(tiny_checkpoint, 120, seed=3))
    ]
    recalibrate(store, "tiny", "stable", pairs, alias="stable", per_source=True)
    base = {"prompt": "Name a prime.", "response_a": "Seven, I think.", "response_b": "No idea, go away."}

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [bundle] = service.live.snapshot.resident.values()
        calibrator = bundle.manifest.calibrator
        body = {"pairs": [{**base, "source": name} for name in ("web", "talk", "other", None)]}
        replies = (await client.post("/rm/v1/preference", json=body)).json()["pairs"]
        gap = replies[0]["reward_diff"]
        temperatures = [calibrator.sources["web"], calibrator.sources["talk"], *[calibrator.temperature] * 2]
        assert len(set(temperatures)) == 3
        for reply, temperature in zip(replies, temperatures, strict=True):
            assert reply["probability"] == pytest.approx(sigmoid(gap / temperature), abs=1e-12)
        ranked = {"prompt": "Name a prime.", "responses": [base["response_a"], base["response_b"]], "win_matrix": True}
        reply = (await client.post("/rm/v1/rank", json=ranked | {"source": "talk"})).json()
        assert reply["win_matrix"][0][1] == pytest.approx(replies[1]["probability"], abs=1e-6)
        assert reply["weights"][0] == pytest.approx(replies[1]["probability"], abs=1e-6)
        [served] = (await client.get("/rm/v1/models")).json()["versions"]
        assert (served["calibration"], served["sources"]) == ("temperature", ["talk", "web"])

    with_api(settings_for(store), story)


def test_rank(published: Path) -> None:
    """Order, weights, win matrix and advantages all follow from the rewards."""
    body = {
        "prompt": "Pick one.", "responses": ["One.", "Two, with reasons.", "Three", "One."], "win_matrix": True,
        "advantages": True,
    }  # fmt: skip

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = (await client.post("/rm/v1/rank", json=body)).json()
        msgspec.convert(reply, RankResponse)
        rewards = [item["reward"] for item in reply["items"]]
        assert [rewards[i] for i in reply["order"]] == sorted(rewards, reverse=True)
        assert rewards[0] == pytest.approx(rewards[3], abs=1e-5)
        assert math.fsum(reply["weights"]) == pytest.approx(1.0)
        assert reply["win_matrix"][1][2] + reply["win_matrix"][2][1] == pytest.approx(1.0)
        assert sum(reply["advantages"]) == pytest.approx(0.0, abs=1e-6)
        plain = (await client.post("/rm/v1/rank", json={"prompt": "p", "responses": ["r"]})).json()
        msgspec.convert(plain, RankResponse)
        assert "win_matrix" not in plain
        assert plain["weights"] == [1.0]

    with_api(settings_for(published), story)


def test_an_item_with_an_error_of_its_own(published_chat: Path) -> None:
    """A control token in one text fails that item alone, in score, preference and rank."""
    good, bad = "Fine.", "Stop <|eot_id|> here"

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        items = [{"prompt": "p", "response": good}, {"prompt": "p", "response": bad}]
        scored = (await client.post("/rm/v1/score", json={"items": items})).json()
        msgspec.convert(scored, ScoreResponse)
        assert isinstance(scored["items"][0]["reward"], float)
        assert scored["items"][1]["reward"] is None
        assert scored["items"][1]["error"]["code"] == "control_token_in_text"
        assert scored["model"]["calibrated"] is False
        pair = {"prompt": "p", "response_a": good, "response_b": bad}
        [preferred] = (await client.post("/rm/v1/preference", json={"pairs": [pair]})).json()["pairs"]
        assert preferred["probability"] is None
        assert preferred["a"]["reward"] is not None
        body = {"prompt": "p", "responses": [bad, good, "Other."], "win_matrix": True, "advantages": True}
        ranked = (await client.post("/rm/v1/rank", json=body)).json()
        msgspec.convert(ranked, RankResponse)
        assert sorted(ranked["order"]) == [1, 2]
        assert ranked["weights"][0] is None
        assert ranked["win_matrix"][0] == [None, None, None]
        nothing = (
            await client.post("/rm/v1/rank", json={"prompt": "p", "responses": [bad], "advantages": True})
        ).json()
        assert nothing["order"] == []

    with_api(settings_for(published_chat), story)


def test_conversations(published_chat: Path, published: Path) -> None:
    """Messages equal the prompt where they say the same; an order of roles without a place is that item's error."""
    turn = {"role": "user", "content": "Name a prime."}
    talk = [{"role": "system", "content": "Be brief."}, turn]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        prompts: list[Any] = ["Name a prime.", [turn], talk, [turn, turn]]
        items = [{"prompt": prompt, "response": "Seven."} for prompt in prompts]
        entries = (await client.post("/rm/v1/score", json={"items": items})).json()["items"]
        assert entries[0]["reward"] == pytest.approx(entries[1]["reward"], abs=1e-5)
        if service.live.snapshot.aliases.keys() == {"chatty"}:
            assert abs(entries[2]["reward"] - entries[0]["reward"]) > 1e-4
            assert entries[3]["error"]["code"] == "unsupported_conversation"
        else:
            assert all(entry["reward"] is not None for entry in entries)

    with_api(settings_for(published_chat), story)
    with_api(settings_for(published), story)


def test_models(published: Path) -> None:
    """What is served says what it is."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = (await client.get("/rm/v1/models")).json()
        msgspec.convert(reply, ModelsResponse)
        [entry] = reply["versions"]
        assert entry["aliases"] == ["stable"]
        assert entry["model"]["name"] == "tiny"
        assert reply["rejected"] == []

    with_api(settings_for(published), story)


@pytest.mark.parametrize("selector", ["tiny", "tiny@stable", "digest"])
def test_selectors(published: Path, selector: str) -> None:
    """A model is found by name, alias, and the first digits of its digest."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [digest] = service.live.snapshot.resident
        model = f"tiny@{digest[:10]}" if selector == "digest" else selector
        reply = await client.post("/rm/v1/score", json={"model": model, "items": ITEMS[:1]})
        assert reply.json()["model"]["version"] == digest

    with_api(settings_for(published), story)


@pytest.mark.parametrize("selector", ["other", "tiny@other", "tiny@0000000000", "", "../tiny", "tiny@stable@x"])
def test_unknown_models(published: Path, selector: str) -> None:
    """What is not served is a 404 that lists what is."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        error = error_of(await client.post("/rm/v1/score", json={"model": selector, "items": ITEMS[:1]}), 404)
        assert error["code"] == "unknown_model"

    if selector:
        with_api(settings_for(published), story)
    else:

        async def default(client: httpx.AsyncClient, service: Service) -> None:
            reply = await client.post("/rm/v1/score", json={"model": None, "items": ITEMS[:1]})
            assert reply.status_code == 200

        with_api(settings_for(published, default_model="tiny"), default)


def test_limits(published: Path) -> None:
    """Too many items, too long a text, a request larger than the queue, a bad timeout header: 422, nothing computed."""
    limits = {"max_items_per_request": 2, "max_characters_per_item": 50, "max_queue_tokens": 600}

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        item = {"prompt": "a", "response": "b"}
        many = error_of(await client.post("/rm/v1/score", json={"items": [item] * 3}), 422)
        assert many["code"] == "too_many_items"
        long = error_of(await client.post("/rm/v1/score", json={"items": [{"prompt": "a" * 51, "response": ""}]}), 422)
        assert long["code"] == "text_too_long"
        big = error_of(await client.post("/rm/v1/score", json={"items": [item] * 2}), 422)
        assert big["code"] == "too_many_items"
        for value in ("soon", "-1", "0", "1.5", "9" * 12):
            headers = {"x-request-timeout-ms": value}
            wrong = error_of(await client.post("/rm/v1/score", json={"items": [item]}, headers=headers), 422)
            assert wrong["param"] == "x-request-timeout-ms"
        fine = await client.post("/rm/v1/score", json={"items": [item]}, headers={"x-request-timeout-ms": "20000"})
        assert fine.status_code == 200
        assert (await client.post("/rm/v1/score", json={"items": []})).json()["items"] == []

    with_api(settings_for(published, limits=limits), story)


def test_metrics_equal_what_happened(published: Path) -> None:
    """Counters equal the ledger of requests and items; unknown paths share one label; gauges return to zero."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for _ in range(3):
            await client.post("/rm/v1/score", json={"items": ITEMS})
        for path in ("/a", "/b", "/c/d"):
            error_of(await client.get(path), 404)
        error_of(await client.get("/rm/v1/score"), 405)
        value = service.metrics.registry.get_sample_value
        [bundle] = service.live.snapshot.resident.values()
        labels = {"model": "tiny", "version": bundle.digest[:12]}
        assert value("rm_requests_total", {"route": "/rm/v1/score", "status": "200", **labels}) == 3
        assert value("rm_requests_total", {"route": "other", "status": "404", "model": "", "version": ""}) == 3
        assert value("rm_items_total", {"outcome": "ok", **labels}) == 12
        assert value("rm_truncated_total", {"model": "tiny"}) == 3
        assert value("rm_score_count", labels) == 12
        assert value("rm_queue_items", labels) == 0
        assert value("rm_in_flight_requests", {}) == 0
        assert b"rm_requests_total" in service.metrics.render()

    with_api(settings_for(published), story)
