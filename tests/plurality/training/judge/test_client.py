"""Rate limits, failures and refusals of an endpoint; the time is the tests'."""

from pathlib import Path
from typing import Any

import pytest

from plurality.training.errors import TrainingError
from plurality.training.judge.client import Endpoint
from plurality.training.judge.errors import AccessDenied, BadRequest, TooManyFailures, Unreachable
from tests.plurality.training.judge.asking import FakeTime, judge
from tests.plurality.training.judge.conftest import Server
from tests.plurality.training.judge.test_run import ROWS, records

SECRET = "sk-a-key-that-nobody-may-see"


def test_retry_after_is_honored(server: Server, tmp_path: Path) -> None:
    """429 with Retry-After: nobody asks before it is over, then the same request is sent again."""
    plain, _ = judge(server, ROWS[:2], tmp_path / "plain.jsonl")
    server.reset()
    server.faults({"status": 429, "headers": {"Retry-After": "17"}}, {"status": 429, "headers": {"Retry-After": "5"}})
    time = FakeTime()
    limited, spent = judge(server, ROWS[:2], tmp_path / "cache.jsonl", time=time, concurrency=1)
    assert limited == plain
    assert time.slept == [0.375, pytest.approx(16.625), 0.75, pytest.approx(4.25)]
    bodies = [entry["body"] for entry in server.log()]
    assert bodies[0] == bodies[1] == bodies[2]
    assert (len(bodies), spent.requests) == (6, 4)


def test_failures_that_pass(server: Server, tmp_path: Path) -> None:
    """Server errors are asked again after a wait that doubles."""
    server.faults(*({"status": status} for status in (500, 503, 529)))
    time = FakeTime()
    outcomes, _ = judge(server, ROWS[:1], tmp_path / "cache.jsonl", time=time)
    assert records(outcomes)[0].q is not None
    assert time.slept == [0.375, 0.75, 1.5]


def test_failures_that_do_not_pass(server: Server, tmp_path: Path) -> None:
    """After the last attempt the run stops, and keeps what it had."""
    server.faults({"edit": {}}, {"edit": {}}, *({"status": 503} for _ in range(3)))
    with pytest.raises(Unreachable, match="3 attempts, the last: HTTP 503"):
        judge(server, ROWS[:2], tmp_path / "cache.jsonl", endpoint={"attempts": 3}, concurrency=1)
    server.reset()
    _, spent = judge(server, ROWS[:2], tmp_path / "cache.jsonl", concurrency=1)
    assert (spent.cached, spent.requests) == (2, 2)


def test_nobody_there(server: Server, tmp_path: Path) -> None:
    """A refused connection is tried again, then named."""
    gone = Server("http://127.0.0.1:9", server.http)
    with pytest.raises(Unreachable, match="ConnectError"):
        judge(gone, ROWS[:1], tmp_path / "cache.jsonl", endpoint={"attempts": 2})


def test_a_rest_of_hours_is_refused(server: Server, tmp_path: Path) -> None:
    """A quota that comes back tomorrow is not waited for."""
    server.faults({"status": 429, "headers": {"Retry-After": "86400"}})
    with pytest.raises(Unreachable, match="86400 s"):
        judge(server, ROWS[:1], tmp_path / "cache.jsonl")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": f"Incorrect API key: {SECRET}", "code": "invalid_api_key"}, r"invalid_api_key.*\*\*\*"),
        (404, {"message": "no such model"}, "no such model"),
        (429, {"message": "You exceeded your quota", "type": "x", "code": "insufficient_quota"}, "insufficient_quota"),
        (307, {}, "HTTP 307"),
    ],
)
def test_what_no_request_gets(server: Server, tmp_path: Path, status: int, error: dict[str, Any], said: str) -> None:
    """Key, model, quota: the run stops at the first one; the key is not in the message."""
    server.faults({"status": status, "error": error})
    with pytest.raises(AccessDenied, match=said) as caught:
        judge(server, ROWS, tmp_path / "cache.jsonl", concurrency=1, endpoint={"api_key": SECRET})
    assert SECRET not in str(caught.value)
    assert len(server.log()) == 1


def test_a_pair_that_is_refused(server: Server, tmp_path: Path) -> None:
    """Too long for the model: this pair fails, the others are judged; too many of them stop the run."""
    fault = {"status": 400, "error": {"message": "maximum context length is 8192 tokens", "code": "too_long"}}
    server.faults(fault)
    outcomes, spent = judge(server, ROWS[:3], tmp_path / "cache.jsonl", concurrency=1, max_failures=1)
    assert isinstance(outcomes[0], BadRequest)
    assert outcomes[0].message == "HTTP 400, too_long: maximum context length is 8192 tokens"
    assert (len(records(outcomes[1:])), spent.failed) == (2, 1)
    server.faults(*[fault] * 3)
    with pytest.raises(TooManyFailures, match="2 pairs failed"):
        judge(server, ROWS[:3], tmp_path / "other.jsonl", concurrency=1, max_failures=1)


@pytest.mark.parametrize("text", ["<html>busy</html>", '"no"', "[]", '{"error": "overloaded"}', '{"error": null}'])
def test_errors_without_openais_shape(server: Server, tmp_path: Path, text: str) -> None:
    """A proxy's page is an error too."""
    server.faults({"status": 403, "text": text})
    with pytest.raises(AccessDenied, match="HTTP 403"):
        judge(server, ROWS[:1], tmp_path / "cache.jsonl")


def test_no_prompt_in_an_error(server: Server, tmp_path: Path) -> None:
    """A server that quotes the request is not quoted."""
    quoted = f"cannot read: Answer A: {ROWS[0].response_a}"
    server.faults({"status": 422, "error": {"message": quoted, "code": "bad"}})
    outcomes, _ = judge(server, ROWS[:1], tmp_path / "cache.jsonl", max_failures=1)
    assert isinstance(outcomes[0], BadRequest)
    assert outcomes[0].message == "HTTP 422, bad"


def test_requests_per_minute(server: Server, tmp_path: Path) -> None:
    """Whatever the concurrency, requests go one gap apart."""
    time = FakeTime()
    judge(server, ROWS[:3], tmp_path / "cache.jsonl", time=time, endpoint={"per_minute": 30})
    assert time.now == 1000.0 + 5 * 2.0


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://x/v1",
        "http://",
        "http://me:pw@x/v1",
        "http://x/v1?key=1",
        "http://x/v1/chat/completions",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    """Not HTTP, or with a secret in it."""
    with pytest.raises(TrainingError):
        Endpoint(url)


def test_the_key_is_in_the_header_alone(server: Server, tmp_path: Path) -> None:
    """Sent as a bearer token; not in the cache, nor in what the endpoint looks like when printed."""
    judge(server, ROWS[:1], tmp_path / "cache.jsonl", endpoint={"api_key": SECRET})
    assert {entry["authorization"] for entry in server.log()} == {f"Bearer {SECRET}"}
    assert SECRET not in (tmp_path / "cache.jsonl").read_text()
    assert SECRET not in repr(Endpoint(server.url, SECRET))
    with pytest.raises(TrainingError, match="no HTTP header") as caught:
        Endpoint(server.url, "ключ")
    assert "ключ" not in str(caught.value)
