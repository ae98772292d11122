"""Voting without JavaScript: blind, sides undone, once a person and pair, by the code of POST /rm/v1/feedback."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service.app import Service
from service.feedback.records import Vote
from service.ui import voting
from tests.api import settings_for, with_api
from tests.service.ui.pages import HOSTILE, KEY, PAIR, Page, parsed, send, with_votes

WHO = {"voter": "ann", "feedback_key": KEY}
JUDGED = {"task1": "multiple", "task2": "distinguishable", "estimate": "8"}


async def remembered(client: httpx.AsyncClient, *pairs: dict[str, Any]) -> None:
    for pair in pairs:
        (await client.post("/rm/v1/preference", json={"pairs": [pair]})).raise_for_status()


async def flushed(service: Service) -> None:
    """Until every remembered pair is written: the screen draws from the database."""
    kept = service.feedback.require()
    while kept.recorder._pending:
        await kept.call(lambda: None)


async def begin(client: httpx.AsyncClient, service: Service, voter: str = "ann") -> Page:
    await flushed(service)
    return parsed(await send(client, "/ui/vote", {**WHO, "voter": voter, "do": "next"}))


def about(page: Page) -> dict[str, str | Sequence[str]]:
    """What the screen's form would send back of itself."""
    return {name: values for name, values in page.fields.items() if name not in JUDGED}


async def stored(service: Service) -> list[Vote]:
    kept = service.feedback.require()
    return await kept.call(lambda: list(kept.store.votes()))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_vote_is_of_the_pair_as_it_was_scored(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: bool
) -> None:
    """Whichever answer was called A; with category, request id and voter. The next screen has no pair left."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await remembered(client, PAIR)
        page = await begin(client, service)
        first, second = ("Twelve.", "Eleven.") if swapped else ("Eleven.", "Twelve.")
        assert page.text.index(first) < page.text.index(second)
        for hidden in ("tiny", service.live.snapshot.aliases["tiny"]["stable"].digest[:8]):
            assert hidden not in page.text + str(page.fields)
        after = parsed(await send(client, "/ui/vote", {**about(page), **JUDGED, "do": "vote"}))
        assert "Your vote is stored." in after.text
        assert "no other pair" in after.text
        assert after.fields["feedback_key"] == [KEY]
        [vote] = await stored(service)
        assert vote.share_a == pytest.approx(0.2 if swapped else 0.8)
        assert (vote.pair.response_a, vote.voter, vote.graded) == ("Eleven.", "ann", True)
        assert vote.category == "multiple, distinguishable"
        assert vote.request_id == page.fields["request_id"][0]
        again = parsed(await send(client, "/ui/vote", {**about(page), **JUDGED, "do": "vote"}))
        assert "stored before" in again.text
        other = parsed(await send(client, "/ui/vote", {**about(page), **JUDGED, "estimate": "1", "do": "vote"}))
        assert "the first vote stands" in other.text
        assert len(await stored(service)) == 1
        assert service.metrics.feedback_votes.labels("tiny", "graded")._value.get() == 1

    monkeypatch.setattr(voting, "_coin", lambda: swapped)
    with_api(with_votes(published, tmp_path), story)


def test_the_coin_falls_either_way() -> None:
    """Which answer is called A is drawn anew at each view."""
    assert {voting._coin() for _ in range(100)} == {True, False}


def test_each_pair_once_a_person(published: Path, tmp_path: Path) -> None:
    """The same pair under two request ids or swapped is one; equal answers ask nothing; what was skipped stays away."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        turned = {**PAIR, "response_a": PAIR["response_b"], "response_b": PAIR["response_a"]}
        await remembered(client, PAIR, PAIR, turned, {**PAIR, "response_b": PAIR["response_a"]})
        page = await begin(client, service)
        after = parsed(await send(client, "/ui/vote", {**about(page), **JUDGED, "do": "vote"}))
        assert "no other pair" in after.text
        assert "request_id" in (await begin(client, service, "bob")).fields
        conversation = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi."},
                        {"role": "user", "content": HOSTILE}]  # fmt: skip
        await remembered(client, {**PAIR, "prompt": conversation, "response_a": HOSTILE})
        talk = await begin(client, service)
        assert talk.text.count(HOSTILE) == 2
        assert "assistant" in talk.text
        skipped = parsed(await send(client, "/ui/vote", {**about(talk), "do": "skip"}))
        assert "no other pair" in skipped.text
        assert len(skipped.fields["skipped"]) == 1
        assert len(await stored(service)) == 1

    with_api(with_votes(published, tmp_path), story)


def test_a_typed_pair(published: Path, tmp_path: Path) -> None:
    """Given whole, line ends as typed; on an error the form comes back with what was chosen."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        texts = {"prompt": "\nTwo\nlines?", "answer": ["a\nb", "c"]}
        version = f"tiny@{service.live.snapshot.aliases['tiny']['stable'].digest}"
        screen = parsed(await send(client, "/ui/vote", {**texts, "version": version, "do": "typed"}))
        form = {**about(screen), **WHO, **JUDGED, "do": "vote", "swapped": "0"}
        for changes, status, says in (
            ({"task1": ""}, 422, "each of the three tasks"),
            ({"estimate": "11"}, 422, "each of the three tasks"),
            ({"voter": "Ann Example <ann@example.org>"}, 422, "voter name"),
            ({"feedback_key": "guess"}, 401, "does not open voting"),
            ({"model": "other"}, 422, "no such model"),
        ):
            page = parsed(await send(client, "/ui/vote", {**form, **changes}), status)
            assert says in page.text
            assert page.fields["response_a"] == ["a\nb"]
            assert page.fields["task2"] == ["distinguishable"]
            assert "guess" not in str(page.fields)
        assert await stored(service) == []
        parsed(await send(client, "/ui/vote", form))
        [vote] = await stored(service)
        assert (vote.pair.prompt, vote.pair.response_a, vote.share_a) == ("\nTwo\nlines?", "a\nb", 0.8)
        assert vote.model == "tiny"

    with_api(with_votes(published, tmp_path), story)


def test_without_a_key_nothing_is_shown(published: Path, tmp_path: Path) -> None:
    """Remembered texts are people's: a wrong key gets none, not even by naming the reply. Nothing is logged."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await remembered(client, {**PAIR, "prompt": "a secret prompt"})
        name = (await begin(client, service)).fields
        with capture_logs() as logs:
            for key in ("", "guess"):
                for action in ("next", "vote", "skip"):
                    fields = {**JUDGED, "voter": "ann", "feedback_key": key, "do": action, "swapped": "0"}
                    fields |= {"request_id": name["request_id"][0], "index": "0"}
                    page = parsed(await send(client, "/ui/vote", fields), 401)
                    assert "secret" not in page.text + str(page.fields)
            parsed(await send(client, "/ui/vote", {**about(await begin(client, service)), **JUDGED, "do": "vote"}))
        assert not {"secret", KEY, "ann"} & set(json.dumps(logs).replace('"', " ").split())

    with_api(with_votes(published, tmp_path), story)


@pytest.mark.parametrize(
    "fields",
    [{"request_id": "gone", "index": "0"}, {"request_id": "x y", "index": "0"}, {"request_id": "x", "index": "-1"}, {}],
)
def test_a_pair_that_is_not_there(published: Path, tmp_path: Path, fields: dict[str, str]) -> None:
    """It is said; no vote is lost in silence."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await send(client, "/ui/vote", {**WHO, **JUDGED, **fields, "do": "vote", "swapped": "0"})
        page = parsed(reply, 404 if fields.get("request_id") == "gone" else 422)
        assert any(word in page.text for word in ("no longer remembered", "names no pair"))

    with_api(with_votes(published, tmp_path), story)


@pytest.mark.parametrize("remember", [False, True])
def test_off_says_how_to_turn_it_on(published: Path, tmp_path: Path, remember: bool) -> None:
    """Without a database, without a key, without remembered pairs: each has its cure."""

    async def off(client: httpx.AsyncClient, service: Service) -> None:
        page = parsed(await client.get("/ui/vote"))
        assert "PLURALITY_FEEDBACK__URL" in page.text
        assert "PLURALITY_KEYS__FEEDBACK_FILE" in page.text
        parsed(await send(client, "/ui/vote", {**WHO, **JUDGED, "do": "vote"}))

    async def on(client: httpx.AsyncClient, service: Service) -> None:
        assert ("feedback.remember" in (await begin(client, service)).text) is not remember

    with_api(settings_for(published), off)
    with_api(with_votes(published, tmp_path, remember=remember), on)
