"""Experiments over HTTP, on two real versions: routing and its headers, definitions by admin key, reports of votes."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_export.sample_texts import sample_items
from service.app import Service
from tests.api import error_of, settings_for, with_api

KEY = {"authorization": "Bearer the-admins-own-key"}
DEFINITION: dict[str, Any] = {
    "model": "tiny",
    "control": "current",
    "arms": [
        {"name": "current", "version": "stable", "weight": 1},
        {"name": "new", "version": "candidate", "weight": 1},
    ],
}
YAML = """
experiments:
  - name: tone
    model: tiny
    control: current
    arms:
      - {name: current, version: stable, weight: 1}
      - {name: new, version: candidate, weight: 1}
"""


def with_file(tmp_path: Path, text: str = YAML) -> dict[str, Any]:
    path = tmp_path / "experiments.yaml"
    path.write_text(text)
    return {"experiments": {"file": path, "poll_interval_s": 0.02}}


def with_admin(tmp_path: Path, *, database: bool = True) -> dict[str, Any]:
    key = tmp_path / "admin.keys"
    key.write_text("the-admins-own-key\n")
    settings: dict[str, Any] = {"keys": {"admin_file": key}, "experiments": {"poll_interval_s": 0.02}}
    return settings | ({"feedback": {"url": f"sqlite:///{tmp_path}/feedback.db"}} if database else {})


def body(prompt: str) -> dict[str, Any]:
    return {"items": [{"prompt": prompt, "response": text} for text in ("One.", "Two words.", "And three words.")]}


def test_replies_say_their_arm(published_two: Path, tmp_path: Path) -> None:
    """Native routes and dialects: headers name experiment and arm, the reply names that arm's version alone."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        digests = {alias: bundle.digest for alias, bundle in service.live.snapshot.aliases["tiny"].items()}
        seen = set()
        for number in range(12):
            native = await client.post("/rm/v1/score", json=body(f"Question {number}?"))
            arm = native.headers["x-experiment-arm"]
            seen.add(arm)
            assert native.headers["x-experiment"] == "tone"
            assert native.json()["model"]["version"] == digests[{"current": "stable", "new": "candidate"}[arm]]
            dialect = await client.post(
                "/v1/rerank", json={"model": "tiny", "query": f"Question {number}?", "documents": ["One.", "Two."]}
            )
            assert (dialect.headers["x-experiment"], dialect.headers["x-experiment-arm"]) == ("tone", arm)
        assert seen == {"current", "new"}
        pinned = await client.post("/rm/v1/score", json=body("Question 1?") | {"model": "tiny@candidate"})
        assert "x-experiment" not in pinned.headers
        named = await client.post("/rm/v1/score", json=body("x"), headers={"x-experiment-arm": "new"})
        assert (named.headers["x-experiment-arm"], named.json()["model"]["version"]) == ("new", digests["candidate"])
        wrong = await client.post("/rm/v1/score", json=body("x"), headers={"x-experiment-arm": "<b>"})
        assert error_of(wrong, 422)["param"] == "x-experiment-arm"
        units = [
            (await client.post("/rm/v1/score", json=body(str(i)), headers={"x-experiment-unit": "run-7"})).headers
            for i in range(5)
        ]
        assert len({headers["x-experiment-arm"] for headers in units}) == 1

    with_api(settings_for(published_two, **with_file(tmp_path)), story)


def test_no_experiment_no_header(published_two: Path) -> None:
    """Without a source of experiments nothing is said of them, and their headers mean nothing."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.post("/rm/v1/score", json=body("x"), headers={"x-experiment-arm": "new"})
        assert reply.status_code == 200
        assert "x-experiment" not in reply.headers
        assert (await client.get("/rm/v1/experiments")).json() == {"experiments": []}

    with_api(settings_for(published_two), story)


def test_a_definition_by_admin_key(published_two: Path, tmp_path: Path) -> None:
    """Put, seen, changed, routed by, deleted; and still there after a restart."""
    settings = settings_for(published_two, **with_admin(tmp_path))

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.put("/rm/v1/experiments/tone", json=DEFINITION, headers=KEY)
        assert reply.status_code == 200, reply.text
        state = reply.json()
        assert (state["origin"], state["runs"]) == ("database", True)
        assert [arm["share"] for arm in state["arms"]] == [0.5, 0.5]
        assert (await client.post("/rm/v1/score", json=body("x"))).headers["x-experiment"] == "tone"
        arms = [{**DEFINITION["arms"][0], "weight": 9}, DEFINITION["arms"][1]]
        changed = (await client.put("/rm/v1/experiments/tone", json=DEFINITION | {"arms": arms}, headers=KEY)).json()
        assert [arm["weight"] for arm in changed["definition"]["arms"]] == [9, 1]
        assert [arm["share"] for arm in changed["arms"]] == [0.9, 0.1]

    with_api(settings, story)

    async def again(client: httpx.AsyncClient, service: Service) -> None:
        [state] = (await client.get("/rm/v1/experiments")).json()["experiments"]
        assert [arm["share"] for arm in state["arms"]] == [0.9, 0.1]
        put = {key: value for key, value in state["definition"].items() if key != "name"}
        assert (await client.put("/rm/v1/experiments/tone", json=put, headers=KEY)).json()["definition"] == state[
            "definition"
        ]
        assert (await client.delete("/rm/v1/experiments/tone", headers=KEY)).json() == {"deleted": "tone"}
        assert error_of(await client.get("/rm/v1/experiments/tone"), 404)["code"] == "unknown_experiment"
        assert (
            error_of(await client.delete("/rm/v1/experiments/tone", headers=KEY), 404)["code"] == "unknown_experiment"
        )
        assert "x-experiment" not in (await client.post("/rm/v1/score", json=body("x"))).headers

    with_api(settings, again)


def test_writes_that_are_refused(published_two: Path, tmp_path: Path) -> None:
    """No key, a wrong one, a definition that cannot be, a second experiment on the model: each says what to do."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        path = "/rm/v1/experiments/tone"
        assert error_of(await client.put(path, json=DEFINITION), 401)["code"] == "unauthorized"
        assert error_of(await client.delete(path, headers={"authorization": "Bearer x"}), 401)["code"] == "unauthorized"
        for change, param in (
            ({"control": "none"}, None),
            ({"alpha": 7}, "alpha"),
            ({"color": 1}, None),
            ({"arms": DEFINITION["arms"][:1]}, "arms"),
        ):
            error = error_of(await client.put(path, json=DEFINITION | change, headers=KEY), 422)
            assert param is None or error["param"] == param
        assert (await client.put(path, json=DEFINITION, headers=KEY)).status_code == 200
        second = await client.put("/rm/v1/experiments/other", json=DEFINITION, headers=KEY)
        assert "stop it first" in error_of(second, 409)["message"]
        stopped = await client.put("/rm/v1/experiments/other", json=DEFINITION | {"running": False}, headers=KEY)
        assert stopped.json()["runs"] is False

    with_api(settings_for(published_two, **with_admin(tmp_path)), story)


def test_without_a_database(published_two: Path, tmp_path: Path) -> None:
    """Writes are refused with the cure; without an admin key they are off."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.put("/rm/v1/experiments/tone", json=DEFINITION, headers=KEY)
        assert "experiments.file" in error_of(reply, 403)["message"]

    with_api(settings_for(published_two, **with_admin(tmp_path, database=False)), story)

    async def keyless(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.put("/rm/v1/experiments/other", json=DEFINITION, headers=KEY)
        assert error_of(reply, 403)["code"] == "writes_disabled"
        assert error_of(await client.get("/rm/v1/experiments/tone/report"), 403)["code"] == "feedback_disabled"

    with_api(settings_for(published_two, **with_file(tmp_path)), keyless)


def test_the_file_comes_first(published_two: Path, tmp_path: Path) -> None:
    """What the file defines is not changed over the API; what the database holds beside it says why it waits."""
    settings = with_admin(tmp_path)
    both = {**settings, "experiments": with_file(tmp_path)["experiments"]}

    async def before(client: httpx.AsyncClient, service: Service) -> None:
        assert (await client.put("/rm/v1/experiments/other", json=DEFINITION, headers=KEY)).json()["runs"]

    with_api(settings_for(published_two, **settings), before)

    async def after(client: httpx.AsyncClient, service: Service) -> None:
        states = {
            one["definition"]["name"]: one for one in (await client.get("/rm/v1/experiments")).json()["experiments"]
        }
        assert (states["tone"]["runs"], states["other"]["runs"]) == (True, False)
        assert states["other"]["problem"] == "experiment tone runs on this model"
        reply = await client.put("/rm/v1/experiments/tone", json=DEFINITION, headers=KEY)
        assert error_of(reply, 409)["code"] == "experiment_conflict"
        assert error_of(await client.delete("/rm/v1/experiments/tone", headers=KEY), 409)

    with_api(settings_for(published_two, **both), after)


def test_votes_are_predicted_and_reported(published_two: Path, tmp_path: Path) -> None:
    """Votes are scored by both versions in the background; the report compares them on these, and holds: too few."""
    settings = settings_for(published_two, **with_admin(tmp_path))
    answers = [item.response for item in sample_items(400, seed=3) if 0 < item.characters < 400]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        put = DEFINITION | {"since": "2020-01-01T00:00:00Z"}
        assert (await client.put("/rm/v1/experiments/tone", json=put, headers=KEY)).status_code == 200
        votes = [
            {
                "id": f"vote-{i}", "voter": f"v{i % 5}", "vote": "a" if i % 3 else "b", "prompt": f"Question {i}?",
                "response_a": answers[2 * i], "response_b": answers[2 * i + 1],
            }
            for i in range(20)
        ]  # fmt: skip
        reply = await client.post("/rm/v1/feedback", json={"votes": votes}, headers=KEY)
        assert reply.status_code == 200, reply.text
        while True:
            report = (await client.get("/rm/v1/experiments/tone/report")).json()
            [arm] = report["arms"]
            if arm["report"]["counts"]["votes"] == 20:
                break
            await asyncio.sleep(0.02)
        assert (arm["arm"], arm["verdict"]["action"]) == ("new", "hold")
        assert 0 <= arm["report"]["control"]["accuracy"] <= 1
        assert arm["report"]["alpha"] == 0.05
        pair = votes[0]
        alone = (
            await client.post(
                "/rm/v1/preference",
                json={
                    "model": "tiny@candidate",
                    "pairs": [{k: pair[k] for k in ("prompt", "response_a", "response_b")}],
                },
            )
        ).json()["pairs"][0]["probability"]
        digest = service.live.snapshot.aliases["tiny"]["candidate"].digest
        [kept] = [
            judged.predictions[digest].probability
            for judged in service.experiments.votes.judged("tiny", [digest])  # type: ignore[union-attr]
            if judged.vote.id == "vote-0"
        ]
        assert kept == pytest.approx(alone, abs=1e-5)

    with_api(settings, story)
