"""The playground, as a browser without JavaScript uses it, on two real versions."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from service.app import Service
from tests.api import error_of, settings_for, with_api
from tests.service.ui.pages import HOSTILE, PAIR, parsed, send, with_votes

TEXTS = {"prompt": "Two\nlines?", "answer": ["Yes,\ntwo.", "No.", " "]}


def selectors(service: Service) -> list[str]:
    return [f"tiny@{digest}" for digest in service.live.snapshot.resident]


def test_scores_are_the_api_s(published_two: Path) -> None:
    """Rewards and P of every chosen version are what /rm/v1/preference says of the text as it was typed."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        start = parsed(await client.get("/ui"))
        [usual] = start.fields["version"]
        assert usual == f"tiny@{service.live.snapshot.aliases['tiny']['stable'].digest}"
        both = selectors(service)
        page = parsed(await send(client, "/ui", TEXTS | {"version": both, "do": "score"}))
        pair = {"prompt": "Two\nlines?", "response_a": "Yes,\ntwo.", "response_b": "No."}
        for selector in both:
            reply = await client.post("/rm/v1/preference", json={"model": selector, "pairs": [pair]})
            [scored] = reply.json()["pairs"]
            for side in ("a", "b"):
                assert f"{scored[side]['reward']:+.3f}".replace("-", "−") in page.text
            assert f"{100 * scored['probability']:.1f} %" in page.text
            assert f"{100 * scored['expected_disagreement']:.1f} %" in page.text
        assert page.fields["prompt"] == ["Two\nlines?"]
        assert page.fields["answer"] == ["Yes,\ntwo.", "No.", " "]
        assert sorted(page.fields["version"]) == sorted(both)

    with_api(settings_for(published_two), story)


def test_cut_texts_and_items_of_their_own_errors(published_chat: Path, published: Path) -> None:
    """What was cut is said; an answer that cannot be scored has its error in place of a reward, the others theirs."""

    async def long(client: httpx.AsyncClient, service: Service) -> None:
        fields = {"prompt": "p", "answer": ["word " * 2000, "short"], "version": selectors(service), "do": "score"}
        assert re.search(r"cut by \d+ tokens", parsed(await send(client, "/ui", fields)).text)

    async def control(client: httpx.AsyncClient, service: Service) -> None:
        version = [f"chatty@{digest}" for digest in service.live.snapshot.resident]
        fields = {"prompt": "p", "answer": ["<|eot_id|>", "b", "c"], "version": version, "do": "score"}
        page = parsed(await send(client, "/ui", fields))
        assert "control_token_in_text" in page.text
        assert "no probability" in page.text
        assert "not calibrated" in page.text
        assert len(re.findall(r"[+−]\d+\.\d{3}", page.text)) == 2

    with_api(settings_for(published), long)
    with_api(settings_for(published_chat), control)


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"answer": ["alone"]}, 422, "two answers"),
        ({"version": []}, 422, "Choose a version"),
        ({"version": "tiny@gone"}, 404, "no such alias"),
        ({"answer": list("abcdefg")}, 422, "at most 6"),
        ({"prompt": ["a", "b"]}, 422, "twice"),
    ],
)
def test_mistakes_are_said_beside_the_form(
    published: Path, changes: dict[str, str | Sequence[str]], status: int, says: str
) -> None:
    async def story(client: httpx.AsyncClient, service: Service) -> None:
        fields: dict[str, str | Sequence[str]] = {"version": selectors(service), "do": "score", **TEXTS, **changes}
        page = parsed(await send(client, "/ui", fields), status)
        assert says in page.text
        if "prompt" not in changes:
            assert page.fields["prompt"] == ["Two\nlines?"]

    with_api(settings_for(published), story)


def test_another_answer(published: Path) -> None:
    """Up to six fields, without JavaScript."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        answers = ["one", "two"]
        for count in range(3, 7):
            page = parsed(await send(client, "/ui", {"prompt": "p", "answer": answers, "do": "add"}))
            answers = page.fields["answer"]
            assert len(answers) == count
        assert "Add an answer" not in page.text

    with_api(settings_for(published), story)


def test_hostile_text_is_text(published: Path, tmp_path: Path) -> None:
    """It comes back as it was written, in its field, and makes no tag; nothing of it is in a log or a metric."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        fields = {"prompt": HOSTILE, "answer": [HOSTILE, "b"], "version": [*selectors(service), HOSTILE], "do": "score"}
        with capture_logs() as logs:
            page = parsed(await send(client, "/ui", fields), 404)
            scored = parsed(await send(client, "/ui", fields | {"version": selectors(service)}))
        for found in (page, scored):
            assert (found.fields["prompt"], found.fields["answer"][0]) == ([HOSTILE], HOSTILE)
            assert "evil" not in found.text
        assert "evil" not in json.dumps(logs) + str(list(service.metrics.registry.collect()))

    with_api(settings_for(published), story)


def test_what_is_no_form_of_ours(published: Path) -> None:
    """Other media types, other sites and bytes that are no text are refused with a page; unknown paths too."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert "x-www-form-urlencoded" in parsed(await client.post("/ui", json={}), 415).text
        for site in ("cross-site", "same-site"):
            reply = await send(client, "/ui", {"do": "add"}, **{"sec-fetch-site": site})
            assert "another site" in parsed(reply, 403).text
        parsed(await send(client, "/ui", {"do": "add"}, **{"sec-fetch-site": "same-origin"}))
        form = {"content-type": "application/x-www-form-urlencoded"}
        for body in (b"prompt=%ff", b"prompt=\xff", b"&".join(b"a=1" for _ in range(600))):
            assert "UTF-8" in parsed(await client.post("/ui", content=body, headers=form), 422).text
        assert "Not found" in parsed(await client.get("/ui/nothing"), 404).text
        parsed(await client.put("/ui", headers=form), 405)
        error_of(await client.post("/rm/v1/score", data={"a": "b"}), 415)
        too_much = b"prompt=" + b"a" * (2 * 2**20)
        parsed(await client.post("/ui", content=too_much, headers=form), 413)

    with_api(settings_for(published), story)


def test_where_scoring_needs_a_key(published: Path, tmp_path: Path) -> None:
    """Nothing is shown, and nothing scored, before a form brings the key; it then stays in the form."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for path in ("/ui", "/ui/versions", "/ui/experiments", "/ui/experiments/tone"):
            assert "tiny" not in parsed(await client.get(path), 401).text
            wrong = parsed(await send(client, path, {"key": "guess"}), 401)
            assert "does not open" in wrong.text
            assert "guess" not in wrong.text + str(wrong.fields)
        for path in ("/ui", "/ui/versions"):
            opened = parsed(await send(client, path, {"key": "scoring-key"}))
            assert "tiny" in opened.text
            parsed(await client.get(path, headers={"authorization": "Bearer scoring-key"}))
        fields = {**TEXTS, "version": selectors(service), "do": "score"}
        parsed(await send(client, "/ui", fields), 401)
        page = parsed(await send(client, "/ui", fields | {"key": "scoring-key"}))
        assert page.fields["key"] == ["scoring-key"]
        parsed(await client.get("/ui/nothing"), 401)
        assert (await client.get("/ui/style.css")).status_code == 200

    (tmp_path / "score").write_text("scoring-key")
    with_api(settings_for(published, keys={"score_file": tmp_path / "score"}), story)


def test_to_vote_before_seeing_scores(published: Path, tmp_path: Path) -> None:
    """The typed pair goes to the voting screen as it is; after it was scored the way is closed."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        fields = {"prompt": HOSTILE, "answer": [PAIR["response_a"], HOSTILE], "version": selectors(service)}
        page = parsed(await send(client, "/ui/vote", fields | {"do": "typed"}))
        assert page.fields["response_b"] == [HOSTILE]
        assert page.fields["model"] == ["tiny"]
        assert "Vote on this pair" in parsed(await client.get("/ui")).text
        assert "Vote on this pair" not in parsed(await send(client, "/ui", fields | {"do": "score"})).text
        three = fields | {"do": "typed", "answer": ["a", "b", "c"]}
        assert "exactly two" in parsed(await send(client, "/ui/vote", three), 422).text

    with_api(with_votes(published, tmp_path), story)


def test_it_can_be_turned_off(published: Path) -> None:
    """Then /ui is a path like any unknown one."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for path in ("/ui", "/ui/", "/ui/versions", "/ui/style.css"):
            error_of(await client.get(path), 404)

    with_api(settings_for(published, ui={"enabled": False}), story)


def test_full_is_said_with_when_to_come_back(published: Path) -> None:
    """The service's own refusals keep their status and Retry-After."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        service.gate.close()
        fields = {**TEXTS, "version": selectors(service), "do": "score"}
        reply = await send(client, "/ui", fields)
        parsed(reply, 503)
        assert int(reply.headers["retry-after"]) > 0

    with_api(settings_for(published), story)
