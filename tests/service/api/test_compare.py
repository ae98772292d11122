"""/rm/v1/compare, and `plurality experiment compare` by the same code, on two real versions."""

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from typer.testing import CliRunner

from model_export.sample_texts import sample_items
from plurality.cli.app import app
from service.api.compare_records import CompareResponse
from service.app import Service
from tests.api import error_of, settings_for, with_api

MODELS = ["tiny@stable", "tiny@candidate"]
ANSWERS = [item.response for item in sample_items(400, seed=3) if 0 < item.characters < 400][:32]
PAIRS: list[dict[str, Any]] = [
    {
        "prompt": f"Question {i // 2}?",
        "response_a": ANSWERS[2 * i],
        "response_b": ANSWERS[2 * i + 1],
        "label": i % 2,
        "votes": {"a": i % 4, "b": 3, "tie": 1},
    }
    for i in range(16)
]


def test_pairs_by_two_versions(published_two: Path) -> None:
    """Each version answers as /preference of it does; flips and figures follow from these answers."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = (await client.post("/rm/v1/compare", json={"models": MODELS, "pairs": PAIRS})).json()
        msgspec.convert(reply, CompareResponse)
        plain = [{key: pair[key] for key in ("prompt", "response_a", "response_b")} for pair in PAIRS]
        alone = [
            (await client.post("/rm/v1/preference", json={"model": model, "pairs": plain})).json() for model in MODELS
        ]
        assert reply["models"] == [one["model"] for one in alone]
        for place, pair in enumerate(reply["pairs"]):
            for one, version in zip(alone, pair["versions"], strict=True):
                assert version["probability"] == pytest.approx(one["pairs"][place]["probability"], abs=1e-6)
        differences = [[version["reward_diff"] for version in pair["versions"]] for pair in reply["pairs"]]
        [difference] = reply["comparison"]["differences"]
        assert difference["flips"] == sum(a * b < 0 for a, b in differences)
        assert difference["flips"] > 0
        figures = reply["comparison"]["versions"][0]["figures"]
        assert set(figures) == {"accuracy", "ece", "brier", "nll", "pearson", "l1"}
        other = reply["comparison"]["versions"][1]["figures"]
        assert difference["differences"] == pytest.approx({name: other[name] - figures[name] for name in figures})
        assert difference["agreement"] == sum(a * b > 0 for a, b in differences) / len(differences)

    with_api(settings_for(published_two), story)


def test_items_by_two_versions(published_two: Path) -> None:
    """Items of one prompt are compared with their neighbors; what a version cannot score is left out and counted."""
    items = [{"prompt": "Same?", "response": text} for text in ("One.", "Two words.", "Three words here.")]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = (await client.post("/rm/v1/compare", json={"models": MODELS, "items": items})).json()
        msgspec.convert(reply, CompareResponse)
        assert (len(reply["items"]), len(reply["items"][0]["versions"])) == (3, 2)
        assert reply["comparison"]["differences"][0]["pairs"] == 2
        assert reply["comparison"]["versions"][0]["figures"] == {}

    with_api(settings_for(published_two), story)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"models": MODELS}, 422, "pairs"),
        ({"models": MODELS, "pairs": [], "items": []}, 422, "pairs"),
        ({"models": MODELS[:1], "pairs": PAIRS}, 422, "models"),
        ({"models": [*MODELS, "tiny@none"], "pairs": PAIRS}, 404, "model"),
        ({"models": MODELS, "pairs": [PAIRS[0] | {"label": 1.5}]}, 422, "pairs[0].label"),
        ({"models": MODELS, "pairs": [PAIRS[0] | {"votes": {"a": 0, "b": 0}}]}, 422, "pairs[0].votes"),
        ({"models": MODELS, "pairs": [PAIRS[0] | {"color": "red"}]}, 422, None),
    ],
)
def test_what_cannot_be_compared(published_two: Path, body: dict[str, Any], status: int, param: str | None) -> None:
    """A clear error with its place."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        error = error_of(await client.post("/rm/v1/compare", json=body), status)
        assert param is None or error["param"] == param or (error["param"] or "").startswith(param)

    with_api(settings_for(published_two), story)


def test_offline_says_what_the_route_says(published_two: Path, tmp_path: Path) -> None:
    """The command's values are the route's, with intervals beside them; canonical rows are read; people get text."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(pair | {"id": str(i), "category": "x"}) + "\n" for i, pair in enumerate(PAIRS)))
    words = ["experiment", "compare", *MODELS, str(data), "--store", str(published_two)]
    done = CliRunner().invoke(app, [*words, "--json", "--bootstrap", "200"])
    assert done.exit_code == 0, done.output
    offline = json.loads(done.stdout)
    nll = offline["differences"][0]["differences"]["nll"]
    assert nll["low"] < nll["estimate"] < nll["high"]
    assert offline["versions"][0].pop("ece_noise_floor")["high"] > 0
    assert offline["versions"][1].pop("ece_noise_floor")["high"] > 0

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = (await client.post("/rm/v1/compare", json={"models": MODELS, "pairs": PAIRS})).json()
        assert _rounded(reply["comparison"]) == _rounded(_values(offline))

    with_api(settings_for(published_two), story)
    text = CliRunner().invoke(app, [*words, "--bootstrap", "50"]).stdout
    assert "ordered differently" in text
    assert "noise floor" in text


def _values(node: Any) -> Any:
    """The command's figures without their intervals, as the route says them."""
    if isinstance(node, dict):
        return node["estimate"] if "estimate" in node else {key: _values(value) for key, value in node.items()}
    return [_values(value) for value in node] if isinstance(node, list) else node


def _rounded(node: Any) -> Any:
    """Rewards depend on their batch in the last digits."""
    if isinstance(node, dict):
        return {key: _rounded(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_rounded(value) for value in node]
    return round(node, 4) if isinstance(node, float) else node


def test_offline_names_bad_lines(published_two: Path, tmp_path: Path) -> None:
    """Every bad line is named before anything is loaded; true_preference and messages are read."""
    data = tmp_path / "pairs.jsonl"
    good = {
        "messages": [{"role": "user", "content": "a"}],
        "response_a": "b",
        "response_b": "c",
        "true_preference": 0.8,
    }
    data.write_text("\n".join(["{", json.dumps(good), json.dumps(good | {"prompt": "x"}), json.dumps({"prompt": "x"})]))
    words = ["experiment", "compare", *MODELS, str(data), "--store", str(published_two)]
    done = CliRunner().invoke(app, words)
    assert type(done.exception).__name__ == "DataError"
    assert all(f"line {line}" in str(done.exception) for line in (1, 3, 4))
    data.write_text(json.dumps(good))
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert found["versions"][0]["voted"] == 1
