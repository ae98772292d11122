"""Bodies that break default stacks: each is a 4xx of the one shape without an echo, and the next request works."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from service.app import Service
from tests.api import error_of, settings_for, with_api

GOOD = {"items": [{"prompt": "p", "response": "r"}]}
SECRET = "xyzzy-secret"


def body(prompt: str) -> bytes:
    return b'{"items":[{"prompt":' + prompt.encode() + b',"response":"' + SECRET.encode() + b'"}]}'


MALFORMED = {
    "NaN": body("NaN"),
    "Infinity": body("-Infinity"),
    "1e999": body("1e999"),
    "a number": body("17"),
    "a huge integer": body("9" * 5000),
    "a raw NUL byte": body('"a\x00b"'),
    "a raw newline": body('"a\nb"'),
    "a boolean": body("true"),
    "null": body("null"),
    "an object": body('{"a":1}'),
    "an empty conversation's wrong role": body('[{"role":"root","content":"x"}]'),
    "a lone surrogate": body(r'"\ud800"'),
    "a lone surrogate in a key": b'{"items":[],"\\ud800' + SECRET.encode() + b'":1}',
    "invalid UTF-8": body('"').replace(b'"prompt":"', b'"prompt":"\xff\xfe'),
    "overlong UTF-8": body('"\\"').replace(b'"\\"', b'"\xc0\xaf"'),
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
    "50,000-deep nesting": b"[" * 50_000 + b"]" * 50_000,
    "50,000-deep nesting inside": body("[" * 50_000 + "]" * 50_000),
    "an unknown field": json.dumps(GOOD | {SECRET: 1}).encode(),
    "an unknown field inside": json.dumps({"items": [{"prompt": "p", "response": "r", SECRET: SECRET}]}).encode(),
    "a missing field": b'{"items":[{"prompt":"p"}]}',
    "not an object": b"[1, 2]",
    "an empty body": b"",
    "half a body": json.dumps(GOOD).encode()[:-3],
    "two bodies": json.dumps(GOOD).encode() * 2,
    "a string for the list": b'{"items":"' + SECRET.encode() + b'"}',
    "a long selector": json.dumps(GOOD | {"model": SECRET * 50}).encode(),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(published: Path, name: str) -> None:
    """4xx, one shape, bounded, no echo; the next request is scored."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        headers = {"content-type": "application/json"}
        reply = await client.post("/rm/v1/score", content=MALFORMED[name], headers=headers)
        error = error_of(reply, 422)
        assert error["code"] == "malformed_request"
        assert SECRET not in reply.text
        assert len(reply.content) < 1000
        assert (await client.post("/rm/v1/score", json=GOOD)).status_code == 200

    with_api(settings_for(published), story)


def test_legal_oddities_are_scored(published: Path) -> None:
    """NUL, bidi overrides, combining marks, emoji joiners and control words of the model are text, and get a reward."""
    texts = [
        "\u0000",
        "\u202eabc",
        "e" + "\u0301" * 200,
        "👩‍👩‍👧‍👦" * 5,
        "\uffff",
        "[SEP] [CLS]",
        "\r\n\t",
        "a" * 20_000,
    ]

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        reply = await client.post("/rm/v1/score", json={"items": [{"prompt": t, "response": t} for t in texts]})
        assert all(isinstance(item["reward"], float) for item in reply.json()["items"])

    with_api(settings_for(published), story)


def test_sizes_at_the_edge(published: Path) -> None:
    """A body of the limit passes, one byte more is 413, by header as by what really comes; so is 3 MB."""
    limit = 4096

    def sized(size: int) -> bytes:
        empty = json.dumps({"items": [{"prompt": "", "response": "r"}]}).encode()
        return empty.replace(b'""', b'"' + b"a" * (size - len(empty)) + b'"', 1)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        headers = {"content-type": "application/json"}
        assert (await client.post("/rm/v1/score", content=sized(limit), headers=headers)).status_code == 200
        for content in (sized(limit + 1), sized(3 * 2**20)):
            assert (
                error_of(await client.post("/rm/v1/score", content=content, headers=headers), 413)["code"]
                == "body_too_large"
            )

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"a" * 100

        assert (
            error_of(await client.post("/rm/v1/score", content=chunks(), headers=headers), 413)["code"]
            == "body_too_large"
        )
        assert service.metrics.registry.get_sample_value("rm_rejected_total", {"reason": "body_limit"}) == 3

    with_api(settings_for(published, http={"max_body_bytes": limit}), story)


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "text/plain"}, json.dumps(GOOD).encode()),
        ({"content-type": "application/x-www-form-urlencoded"}, b"items=1"),
        (
            {"content-type": "application/json", "content-encoding": "gzip"},
            gzip.compress(json.dumps(GOOD).encode(), mtime=0),
        ),
    ],
)
def test_media_types(published: Path, headers: dict[str, str], content: bytes) -> None:
    """Anything but plain JSON is 415."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        error_of(await client.post("/rm/v1/score", content=content, headers=headers), 415)

    with_api(settings_for(published), story)


def test_request_ids(published: Path) -> None:
    """A harmless id comes back; one that could forge a log line is replaced."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        kept = await client.post("/rm/v1/score", json=GOOD, headers={"x-request-id": "run-7:step.1"})
        assert kept.headers["x-request-id"] == kept.json()["request_id"] == "run-7:step.1"
        for bad in ("a b", "x" * 65, '"},{"', "\u00e9"):
            reply = await client.post("/rm/v1/score", json=GOOD, headers={b"x-request-id": bad.encode()})
            assert reply.headers["x-request-id"] != bad

    with_api(settings_for(published), story)
