"""Retries, deadlines, concurrency and connections, against a real HTTP server that answers as told."""

import asyncio
import threading
from email.utils import formatdate

import pytest
from plurality_client import AsyncClient, Client
from plurality_client.errors import (
    BadReply,
    DeadlineExceeded,
    InvalidRequest,
    PluralityClientError,
    Refused,
    Unavailable,
    UnknownModel,
)

from tests.client.scripted import Answer, Asked, FakeTime, ScriptedServer, error, scored

ITEMS = [("p", "1.5")]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_transient_status_is_retried(scripted: ScriptedServer, status: int) -> None:
    """The reward is that of the answer that came in the end, and the waits grow."""
    scripted.answers(error(status), error(status))
    time = FakeTime()
    with Client(scripted.url, timing=time.timing) as client:
        assert client.score(ITEMS).rewards == [1.5]
    assert time.slept == [pytest.approx(0.15), pytest.approx(0.3)]


@pytest.mark.parametrize("broken", [Answer(0), Answer(200, b'{"items"', cut=10)])
def test_a_broken_connection_is_asked_again(scripted: ScriptedServer, broken: Answer) -> None:
    """No answer, or half of one, is no answer."""
    scripted.answers(broken, broken)
    with Client(scripted.url, timing=FakeTime().timing) as client:
        assert client.score(ITEMS).rewards == [1.5]
    assert len(scripted.asked) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400), InvalidRequest),
        (error(413), InvalidRequest),
        (error(422), InvalidRequest),
        (error(404, "unknown_model"), UnknownModel),
        (error(404, "not_found"), Refused),
        (error(401), Refused),
        (error(405), Refused),
        (Answer(403, b"<html>"), Refused),
        (Answer(301, b"", {"location": "/elsewhere"}), Refused),
        (Answer(200, b"<html>"), BadReply),
        (error(501), Unavailable),
    ],
)
def test_what_will_not_pass_is_asked_once(
    scripted: ScriptedServer, answer: Answer, kind: type[PluralityClientError]
) -> None:
    """One request, the right error, and no wait."""
    scripted.answers(answer)
    time = FakeTime()
    with Client(scripted.url, timing=time.timing) as client, pytest.raises(kind) as caught:
        client.score(ITEMS)
    assert type(caught.value) is kind
    assert (len(scripted.asked), time.slept) == (1, [])


def test_errors_carry_the_service_s_words(scripted: ScriptedServer) -> None:
    """Code, message and request id come from the reply."""
    scripted.answers(error(422, "text_too_long"))
    with Client(scripted.url) as client, pytest.raises(InvalidRequest, match="a reason") as caught:
        client.score(ITEMS)
    assert (caught.value.code, caught.value.request_id) == ("text_too_long", "r-7")


def test_a_defect_is_not_asked_for_ever(scripted: ScriptedServer) -> None:
    """A 500 is asked three times in all."""
    scripted.script = lambda _: error(500, "internal")
    with (
        Client(scripted.url, timing=FakeTime().timing) as client,
        pytest.raises(Unavailable, match="internal") as caught,
    ):
        client.score(ITEMS)
    assert (len(scripted.asked), caught.value.status) == (3, 500)


def test_retry_after_is_honored(scripted: ScriptedServer) -> None:
    """Seconds and an HTTP date alike: not before, and spread a little after."""
    time = FakeTime(jitter=0.0)
    date = formatdate(time.epoch + 4 + 9, usegmt=True)
    scripted.answers(error(503, retry_after="4"), error(429, retry_after=date))
    with Client(scripted.url, timing=time.timing) as client:
        assert client.score(ITEMS).rewards == [1.5]
    assert time.slept == [4.0, 9.0]


def test_no_wait_beyond_the_deadline(scripted: ScriptedServer) -> None:
    """A wait that does not fit is not begun; the server's advice is in the error."""
    scripted.answers(error(503, retry_after="60"))
    time = FakeTime()
    with Client(scripted.url, timing=time.timing, timeout_s=30) as client, pytest.raises(Unavailable) as caught:
        client.score(ITEMS)
    assert (caught.value.retry_after_s, time.slept) == (60, [])


def test_retries_end_with_the_deadline(scripted: ScriptedServer) -> None:
    """Waits together never reach the deadline; the last failure is told."""
    scripted.script = lambda _: error(503, "overloaded")
    time = FakeTime()
    with Client(scripted.url, timing=time.timing, timeout_s=20) as client, pytest.raises(Unavailable, match="overload"):
        client.score(ITEMS)
    assert 4 < len(scripted.asked) < 20
    assert sum(time.slept) < 20


def test_the_server_is_told_the_time_that_remains(scripted: ScriptedServer) -> None:
    """X-Request-Timeout-Ms falls with every wait, and no attempt gets more than its own limit."""
    scripted.answers(error(503, retry_after="20"), error(503, retry_after="20"))
    time = FakeTime(jitter=0.0)
    with Client(scripted.url, timing=time.timing, timeout_s=50, attempt_timeout_s=40) as client:
        client.score(ITEMS)
    assert [asked.headers["x-request-timeout-ms"] for asked in scripted.asked] == ["40000", "30000", "10000"]


def test_a_silent_server_is_a_deadline(scripted: ScriptedServer) -> None:
    """A request that is held for ever ends with DeadlineExceeded; in real time, however long it takes."""
    release = threading.Event()

    def hold(asked: Asked) -> Answer:
        release.wait(60)
        return scored(asked)

    scripted.script = hold
    try:
        with Client(scripted.url, timeout_s=0.05) as client, pytest.raises(DeadlineExceeded):
            client.score(ITEMS)
    finally:
        release.set()


def test_one_silent_attempt_does_not_eat_the_call(scripted: ScriptedServer) -> None:
    """A machine that vanished costs one attempt's limit; the next attempt answers."""
    release = threading.Event()

    def hold(asked: Asked) -> Answer:
        release.wait(60)
        return scored(asked)

    scripted.answers(hold)
    try:
        with Client(scripted.url, attempt_timeout_s=0.5, timing=FakeTime().timing) as client:
            assert client.score(ITEMS).rewards == [1.5]
    finally:
        release.set()


def test_at_most_so_many_at_once_and_in_order(scripted: ScriptedServer) -> None:
    """After the first, four requests are held until four are there; never are there five; the order is the items'."""
    together = threading.Barrier(4)
    first = threading.Event()

    def script(asked: Asked) -> Answer:
        if first.is_set():
            together.wait(60)
        first.set()
        return scored(asked)

    scripted.script = script
    items = [("p", str(float(place))) for place in range(2 + 2 * 12)]
    with Client(scripted.url, items_per_request=2, concurrency=4) as client:
        assert client.score(items).rewards == [float(place) for place in range(26)]
    assert (scripted.peak, len(scripted.asked)) == (4, 13)


def test_long_texts_travel_in_smaller_requests(scripted: ScriptedServer) -> None:
    """A body is bounded by characters as well."""
    items = [("p" * 90, "1"), ("p" * 90, "2"), ("p" * 300, "3"), ("p", "4")]
    with Client(scripted.url, characters_per_request=200) as client:
        assert client.score(items).rewards == [1, 2, 3, 4]
    assert [len(asked.body["items"]) for asked in scripted.asked] == [2, 1, 1]


def test_connections_are_used_again(scripted: ScriptedServer) -> None:
    """Ten calls from a client that lasts: one connection."""
    with Client(scripted.url) as client:
        for _ in range(10):
            client.score(ITEMS)
    assert (len(scripted.asked), scripted.connections) == (10, 1)


def test_nothing_to_ask_asks_nothing(scripted: ScriptedServer) -> None:
    """An empty list has an empty answer."""
    with Client(scripted.url) as client:
        assert client.score([]).items == ()
        assert client.preference([]).pairs == ()
    assert scripted.asked == []


def test_one_client_in_many_loops(scripted: ScriptedServer) -> None:
    """AsyncClient opens connections in each event loop that it is used in."""
    client = AsyncClient(scripted.url)

    async def ask() -> list[float | None]:
        try:
            return (await client.score(ITEMS)).rewards
        finally:
            await client.aclose()

    assert [asyncio.run(ask()) for _ in range(3)] == [[1.5]] * 3


def test_headers_travel_and_are_not_shown(scripted: ScriptedServer) -> None:
    """Credentials reach the server and stay out of the options' repr."""
    with Client(scripted.url, headers={"Authorization": "Bearer s3cret"}) as client:
        client.score(ITEMS)
        assert "s3cret" not in repr(client.options)
    assert scripted.asked[0].headers["authorization"] == "Bearer s3cret"


def test_text_that_is_no_unicode_is_refused_here(scripted: ScriptedServer) -> None:
    """A lone surrogate cannot be sent; the error does not quote it."""
    with Client(scripted.url) as client, pytest.raises(InvalidRequest, match="UTF-8") as caught:
        client.score([("secret \ud800", "1")])
    assert "secret" not in str(caught.value)
    assert scripted.asked == []


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "127.0.0.1:80"},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"concurrency": 0},
        {"items_per_request": 0},
        {"on_failure": "zero"},
        {"pin": "maybe"},
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object]) -> None:
    """Refused where they are given."""
    with pytest.raises(ValueError, match="not "):
        Client(**{"url": "http://127.0.0.1:1", **settings})  # type: ignore[arg-type]
