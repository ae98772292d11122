"""Votes over HTTP: by request id or whole, once each, exported as rows that the trainer reads, deleted by voter."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from plurality.core.errors import ConfigurationError
from plurality.core.rows import PreferenceRow
from plurality.training.load import load_rows
from service.app import Service
from service.settings import Settings
from tests.api import error_of, settings_for, with_api

PAIR = {"prompt": "Name a prime.", "response_a": "Eleven.", "response_b": "Twelve."}
VOTER = {"authorization": "Bearer voting"}
ADMIN = {"authorization": "Bearer ruling"}
Story = Callable[[httpx.AsyncClient, Service], Awaitable[None]]


@pytest.fixture
def settings(published: Path, tmp_path: Path) -> Settings:
    """Feedback with everything on."""
    for role, key in (("feedback", "voting"), ("admin", "ruling")):
        (tmp_path / role).write_text(key)
    keys = {"feedback_file": tmp_path / "feedback", "admin_file": tmp_path / "admin"}
    feedback = {"url": f"sqlite:///{tmp_path / 'votes.db'}", "remember": True}
    return settings_for(published, keys=keys, feedback=feedback)


def vote(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A vote on the whole pair; None takes a field out."""
    made = {"id": f"v{number}", "voter": f"person-{number}", "vote": "a", **PAIR, **changes}
    return {name: value for name, value in made.items() if value is not None}


def of_reply(number: int, request_id: str, index: int = 0, **changes: Any) -> dict[str, Any]:
    return vote(number, request_id=request_id, index=index, **dict.fromkeys(PAIR), **changes)


async def post(client: httpx.AsyncClient, *votes: dict[str, Any]) -> httpx.Response:
    return await client.post("/rm/v1/feedback", json={"votes": list(votes)}, headers=VOTER)


async def statuses(client: httpx.AsyncClient, *votes: dict[str, Any]) -> list[str]:
    """Of each vote: what became of it, or its error's code."""
    reply = await post(client, *votes)
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert body["request_id"] == reply.headers["x-request-id"]
    assert [entry["id"] for entry in body["votes"]] == [given["id"] for given in votes]
    return [entry.get("status") or entry["error"]["code"] for entry in body["votes"]]


async def rows(client: httpx.AsyncClient, folder: Path, **query: Any) -> list[PreferenceRow]:
    """An export as the trainer reads it."""
    reply = await client.get("/rm/v1/feedback/export", params=query, headers=VOTER)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    file = folder / "export.jsonl"
    file.write_bytes(reply.content)
    return load_rows(file) if reply.content else []


def test_votes_are_stored_once_and_exported(settings: Settings, tmp_path: Path) -> None:
    """The same again is known; choices, ties and estimates become one row a pair, or one a vote."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        given = [vote(0), vote(1, vote="tie"), vote(2, vote={"a": 7, "b": 3}, category="subjective", source="web")]
        assert await statuses(client, *given) == ["stored"] * 3
        assert await statuses(client, given[1], vote(3, prompt="p\x00q")) == ["known", "stored"]
        single = await rows(client, tmp_path, rows="votes")
        assert [(row.id, row.label) for row in single] == [("v0", 1.0), ("v1", 0.5), ("v2", 0.7), ("v3", 1.0)]
        assert single[3].prompt == "p\x00q"
        assert (single[2].category, single[2].source) == ("subjective", "web")
        joined = {row.prompt: row for row in await rows(client, tmp_path, model="tiny")}
        assert joined[PAIR["prompt"]].preference == pytest.approx((1 + 0.5 + 0.7) / 3)
        assert await rows(client, tmp_path, model="nobody") == []
        counted = service.metrics.feedback_votes
        assert [counted.labels("tiny", kind)._value.get() for kind in ("binary", "tie", "graded")] == [2, 1, 1]

    with_api(settings, story)


def test_an_export_goes_on_from_its_cursor(settings: Settings, tmp_path: Path) -> None:
    """What is new since is exported: pairs with all their votes."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await statuses(client, vote(0), vote(1, prompt="another"))
        seen = (await client.get("/rm/v1/feedback/export", headers=VOTER)).headers["x-feedback-cursor"]
        assert await rows(client, tmp_path, after=seen) == []
        swapped = {"response_a": PAIR["response_b"], "response_b": PAIR["response_a"]}
        await statuses(client, vote(2, **swapped))
        [row] = await rows(client, tmp_path, after=seen)
        assert row.votes is not None
        assert (row.votes.a, row.votes.b) == (1, 1)

    with_api(settings, story)


def test_a_vote_names_a_pair_of_a_reply(settings: Settings, tmp_path: Path) -> None:
    """By request id and index, at once after the reply; a wrong name is that vote's own error."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        conversation = [{"role": "user", "content": "Name a prime."}]
        pairs = [{**PAIR, "source": "web"}, {**PAIR, "prompt": conversation}]
        reply = (await client.post("/rm/v1/preference", json={"pairs": pairs})).json()
        name = reply["request_id"]
        given = [of_reply(0, name), of_reply(1, "no-such-reply"), of_reply(2, name, 1, vote="b"), of_reply(3, name, 9)]
        assert await statuses(client, *given) == ["stored", "unknown_reply", "stored", "unknown_reply"]
        first, second = await rows(client, tmp_path, rows="votes")
        assert (first.prompt, first.response_a, first.source) == (PAIR["prompt"], PAIR["response_a"], "web")
        assert second.messages is not None
        assert [turn.model_dump() for turn in second.messages] == conversation
        kept = service.feedback.require()
        remembered = kept.recorder.find(name, 0)
        assert remembered is not None
        assert remembered.prediction.probability == reply["pairs"][0]["probability"]
        assert remembered.prediction.reward_b == reply["pairs"][0]["b"]["reward"]
        assert remembered.digest == reply["model"]["version"]

    with_api(settings, story)


def test_a_vote_sent_again_after_its_pair_was_forgotten_is_known(settings: Settings) -> None:
    """A retry is no error because time has passed."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        name = (await client.post("/rm/v1/preference", json={"pairs": [PAIR]})).json()["request_id"]
        assert await statuses(client, of_reply(0, name)) == ["stored"]
        kept = service.feedback.require()
        kept.recorder._clock = lambda: 1e12
        assert await statuses(client, of_reply(0, name), of_reply(1, name)) == ["known", "unknown_reply"]
        error_of(await post(client, of_reply(0, name, vote="b")), 409)

    with_api(settings, story)


def test_pairs_outlive_the_process(settings: Settings) -> None:
    """What waits at the end is written: the next process, or another replica, knows the reply."""
    names: list[str] = []

    async def score(client: httpx.AsyncClient, service: Service) -> None:
        names.append((await client.post("/rm/v1/preference", json={"pairs": [PAIR]})).json()["request_id"])

    async def judge(client: httpx.AsyncClient, service: Service) -> None:
        assert await statuses(client, of_reply(0, names[0])) == ["stored"]

    with_api(settings, score)
    with_api(settings, judge)


def test_nothing_is_remembered_unless_asked(settings: Settings) -> None:
    """Prompts are not stored."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        name = (await client.post("/rm/v1/preference", json={"pairs": [PAIR]})).json()["request_id"]
        assert await statuses(client, of_reply(0, name)) == ["unknown_reply"]
        assert service.feedback.require().store.stats()["remembered"] == 0

    forgetful = settings.feedback.model_copy(update={"remember": False})
    with_api(settings.model_copy(update={"feedback": forgetful}), story)


def test_another_vote_under_a_known_id_is_a_conflict(settings: Settings, tmp_path: Path) -> None:
    """409 that names the place in the request; the votes beside it are not stored."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await statuses(client, vote(0))
        reply = await post(client, of_reply(5, "no-such-reply"), vote(1), vote(0, vote="b"))
        error = error_of(reply, 409)
        assert (error["code"], error["param"]) == ("feedback_conflict", "votes[2].id")
        assert [row.id for row in await rows(client, tmp_path, rows="votes")] == ["v0"]

    with_api(settings, story)


def test_a_voter_is_deleted_by_an_admin(settings: Settings, tmp_path: Path) -> None:
    """Not by a feedback key."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await statuses(client, vote(0), vote(1), vote(2, voter="person-1", prompt="another"))
        path = "/rm/v1/feedback/voters/person-1"
        error_of(await client.delete(path, headers=VOTER), 401)
        assert (await client.delete(path, headers=ADMIN)).json() == {"deleted": 2}
        assert [row.id for row in await rows(client, tmp_path, rows="votes")] == ["v0"]
        error_of(await client.delete("/rm/v1/feedback/voters/a@b.org", headers=ADMIN), 422)

    with_api(settings, story)


SECRET = "xyzzy"
BAD: dict[str, tuple[dict[str, Any], str | None]] = {
    "an e-mail as voter": ({"voter": f"{SECRET}@example.org"}, "votes[0].voter"),
    "a newline after the voter": ({"voter": f"{SECRET}\n"}, "votes[0].voter"),
    "an id with spaces": ({"id": f"a {SECRET}"}, "votes[0].id"),
    "another choice": ({"vote": SECRET}, "votes[0].vote"),
    "eleven people": ({"vote": {"a": 8, "b": 3}}, "votes[0].vote"),
    "minus one": ({"vote": {"a": 11, "b": -1}}, None),
    "half a person": ({"vote": {"a": 6.5, "b": 3.5}}, None),
    "an unknown field": ({SECRET: 1}, None),
    "both kinds of pair": ({"request_id": "r", "index": 0}, "votes[0].request_id"),
    "a reply without index": ({"request_id": "r", **dict.fromkeys(PAIR)}, "votes[0].request_id"),
    "an index alone": ({"index": 0}, "votes[0].index"),
    "no pair": (dict.fromkeys(PAIR), "votes[0].prompt"),
    "half a pair": ({"response_b": None}, "votes[0].prompt"),
    "prompt and messages": ({"messages": [{"role": "user", "content": "x"}]}, "votes[0].prompt"),
    "an empty conversation": ({"prompt": [], "response_a": SECRET}, "votes[0].messages"),
    "a long text": ({"response_a": SECRET * 30_000}, "votes[0]"),
    "a model that is not served": ({"model": f"{SECRET}@{SECRET}@"}, None),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_votes(settings: Settings, name: str) -> None:
    """Refused with its place and without an echo; nothing is stored."""
    changes, param = BAD[name]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await post(client, vote(0, **changes))
        assert SECRET not in reply.text
        if name == "a model that is not served":
            assert [entry["error"]["code"] for entry in reply.json()["votes"]] == ["unknown_model"]
        else:
            error = error_of(reply, 422)
            assert param is None or error["param"] == param
        assert service.feedback.require().store.count() == 0

    with_api(settings, story)


@pytest.mark.parametrize("query", ["after=x", "after=-1", f"after={2**63}", "rows=all", "more=1", "after=1&after=2"])
def test_bad_queries(settings: Settings, query: str) -> None:
    """One shape for what is malformed."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert error_of(await client.get(f"/rm/v1/feedback/export?{query}", headers=VOTER), 422)["code"]

    with_api(settings, story)


def test_too_many_votes(settings: Settings) -> None:
    """256 are stored, 257 are refused."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        given = [vote(number) for number in range(257)]
        error_of(await post(client, *given), 422)
        error_of(await post(client), 422)
        assert await statuses(client, *given[:256]) == ["stored"] * 256

    with_api(settings, story)


def test_a_database_that_is_away_hurts_votes_only(settings: Settings, tmp_path: Path) -> None:
    """503 with Retry-After; scoring works, and votes do once it is back."""
    blocked = tmp_path / "votes.db"
    blocked.mkdir()

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await post(client, vote(0))
        assert error_of(reply, 503)["code"] == "feedback_unavailable"
        assert reply.headers["retry-after"] == "1"
        error_of(await client.get("/rm/v1/feedback/export", headers=VOTER), 503)
        assert (await client.post("/rm/v1/preference", json={"pairs": [PAIR]})).status_code == 200
        blocked.rmdir()
        assert await statuses(client, vote(0)) == ["stored"]

    with_api(settings, story)


def test_it_is_off_without_a_key_or_a_database(settings: Settings, published: Path) -> None:
    """403 with the cure; the keys are asked for first."""

    async def no_database(client: httpx.AsyncClient, service: Service) -> None:
        for reply in (
            await post(client, vote(0)),
            await client.get("/rm/v1/feedback/export", headers=VOTER),
            await client.delete("/rm/v1/feedback/voters/x", headers=ADMIN),
        ):
            error = error_of(reply, 403)
            assert error["code"] == "feedback_disabled"
            assert "feedback.url" in error["message"]
        error_of(await client.get("/rm/v1/feedback/export"), 401)

    async def no_key(client: httpx.AsyncClient, service: Service) -> None:
        assert error_of(await post(client, vote(0)), 403)["code"] == "writes_disabled"

    with_api(settings_for(published, keys=settings.keys.model_dump()), no_database)
    with_api(settings_for(published, feedback=settings.feedback.model_dump()), no_key)


@pytest.mark.parametrize("feedback", [{"remember": True}, {"url": "mysql://x/y"}, {"url": "sqlite:////no/such/x.db"}])
def test_settings_that_cannot_work(published: Path, feedback: dict[str, Any]) -> None:
    """The service does not start; a URL's password is in no message."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        raise AssertionError("it started")

    with pytest.raises(ConfigurationError):
        with_api(settings_for(published, feedback=feedback), story)
    url = "postgresql://me:hidden@127.0.0.1/votes"
    assert "hidden" not in repr(settings_for(published, feedback={"url": url}))
