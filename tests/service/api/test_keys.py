"""Keys: who may do what, in each dialect's words, before a body is read; files that rotate under a running service."""

import hmac
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import HTTPConnection

from plurality.core.errors import ConfigurationError
from service.api.keys import Keys, Role, fingerprint
from service.app import Service, create_app
from service.errors import Unauthorized, WritesDisabled
from service.settings.groups import FeedbackSettings, KeySettings
from tests.api import error_of, settings_for, with_api

SCORE = {"items": [{"prompt": "p", "response": "r"}]}


def asking(key: bytes | None) -> HTTPConnection:
    """A request with a bearer token."""
    headers = [] if key is None else [(b"authorization", b"Bearer " + key)]
    return HTTPConnection({"type": "http", "headers": headers})


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def write(path: Path, *keys: str) -> Path:
    """Replace a file of keys as an editor or a mounted secret does."""
    staged = path.with_suffix(".new")
    staged.write_text("# keys of a test\n\n" + "\n".join(keys) + "\n")
    staged.replace(path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> KeySettings:
    """A file for each role."""
    return KeySettings(
        score_file=write(tmp_path / "score", "score-key", "score-key-2"),
        feedback_file=write(tmp_path / "feedback", "feedback-key"),
        admin_file=write(tmp_path / "admin", "admin-key"),
    )


OPENS = {
    "score-key": {"score"},
    "score-key-2": {"score"},
    "feedback-key": {"feedback"},
    "admin-key": {"score", "feedback", "admin"},
    "wrong": set(),
    "score-ke": set(),
    "": set(),
}


@pytest.mark.parametrize("role", ["score", "feedback", "admin"])
@pytest.mark.parametrize("key", OPENS)
def test_what_a_key_opens(files: KeySettings, key: str, role: Role) -> None:
    """Admin opens everything, the others their own; a prefix of a key, or an empty one, opens nothing."""
    if role in OPENS[key]:
        Keys(files).require(asking(key.encode()), role)
    else:
        with pytest.raises(Unauthorized):
            Keys(files).require(asking(key.encode()), role)


@pytest.mark.parametrize("key", [None, b"\xff\xfe", "ключ".encode(), b"admin-key\xff"])
def test_no_key_and_bytes_that_are_no_text(files: KeySettings, key: bytes | None) -> None:
    with pytest.raises(Unauthorized):
        Keys(files).require(asking(key), "admin")


def test_another_scheme_is_no_key(files: KeySettings) -> None:
    request = HTTPConnection({"type": "http", "headers": [(b"authorization", b"Basic admin-key")]})
    with pytest.raises(Unauthorized):
        Keys(files).require(request, "admin")


def test_without_files(files: KeySettings) -> None:
    """Writes are off and say which setting turns them on; scoring is open; an admin file alone opens feedback too."""
    none = Keys(KeySettings())
    none.require(asking(None), "score")
    for role in ("feedback", "admin"):
        with pytest.raises(WritesDisabled, match=f"keys.{role}_file"):
            none.require(asking(b"admin-key"), role)
    admin = Keys(KeySettings(admin_file=files.admin_file))
    admin.require(asking(None), "score")
    admin.require(asking(b"admin-key"), "feedback")
    with pytest.raises(WritesDisabled):
        Keys(KeySettings(feedback_file=files.feedback_file)).require(asking(b"feedback-key"), "admin")


def test_every_digest_is_compared(files: KeySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A right key takes as many comparisons as a wrong one: there is no early exit to be timed."""
    keys, real, compared = Keys(files), hmac.compare_digest, [0]

    def counted(one: bytes, other: bytes) -> bool:
        compared[0] += 1
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for key in (b"score-key", b"score-key-2", b"admin-key"):
        compared[0] = 0
        keys.require(asking(key), "score")
        assert compared == [3]


def test_rotation(files: KeySettings) -> None:
    """A new key works and an old one stops at the next request; a file that is broken or gone opens nothing."""
    assert files.admin_file is not None
    keys = Keys(files)
    write(files.admin_file, "second")
    keys.require(asking(b"second"), "admin")
    with pytest.raises(Unauthorized):
        keys.require(asking(b"admin-key"), "admin")
    for broken in (lambda path: path.unlink(), lambda path: write(path, "two words"), write):
        broken(files.admin_file)
        with pytest.raises(Unauthorized):
            keys.require(asking(b"second"), "admin")
        write(files.admin_file, "second")
        keys.require(asking(b"second"), "admin")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"# only words\n", "holds no key"), (b"a\nb c\n", "line 2"), (b"\xff\n", "line 1")],
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"keys.admin_file: .*{said}"):
        Keys(KeySettings(admin_file=tmp_path / "keys"))


def test_a_file_that_is_no_file_of_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b"k" * (2**20 + 1))
    with pytest.raises(ConfigurationError, match="larger"):
        Keys(KeySettings(score_file=tmp_path / "keys"))


def test_the_fingerprint_is_not_the_key() -> None:
    assert fingerprint(asking(b"admin-key")) != fingerprint(asking(b"score-key"))
    assert len(fingerprint(asking(b"admin-key"))) == 8


SHAPES: dict[str, tuple[str, dict[str, Any], str]] = {
    "native": ("/rm/v1/score", SCORE, "error"),
    "OpenRLHF": ("/get_reward", {"query": ["t"], "prompts": ["p"]}, "detail"),
    "vLLM": ("/classify", {"input": "t"}, "error"),
    "TEI": ("/predict", {"inputs": "t"}, "error_type"),
    "OIP": ("/v2/models/tiny/infer", {"inputs": []}, "error"),
    "KServe": ("/v1/models/tiny:predict", {"instances": []}, "error"),
}


@pytest.mark.parametrize(("path", "body", "field"), SHAPES.values(), ids=SHAPES)
def test_scoring_with_keys(published: Path, files: KeySettings, path: str, body: dict[str, Any], field: str) -> None:
    """Every dialect refuses in its own shape, and lets a key through to whatever it answers then."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for headers in ({}, bearer("wrong"), bearer("feedback-key")):
            reply = await client.post(path, json=body, headers=headers)
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer"), reply.text
            assert field in reply.json()
            assert "wrong" not in reply.text
        for key in ("score-key", "admin-key"):
            assert (await client.post(path, json=body, headers=bearer(key))).status_code != 401
        refused = service.metrics.registry.get_sample_value("rm_rejected_total", {"reason": "unauthorized"})
        assert refused == 3

    with_api(settings_for(published, keys=files), story)


def test_what_needs_a_key(published: Path, files: KeySettings) -> None:
    """Models and documents do, and unknown paths; what load balancers ask does not."""

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        for path in ("/rm/v1/models", "/v1/models", "/info", "/docs", "/openapi.json", "/nothing/here"):
            assert (await client.get(path)).status_code == 401, path
        error_of(await client.get("/rm/v1/models"), 401)
        for path in ("/health", "/ping", "/", "/v2/health/live", "/v2/health/ready", "/infinity/health"):
            assert (await client.get(path)).status_code == 200, path
        assert (await client.post("/", json={"inputs": "t"})).status_code == 401
        assert (await client.get("/rm/v1/models", headers=bearer("score-key"))).status_code == 200

    with_api(settings_for(published, keys=files), story)


def test_refused_before_the_body_is_read(published: Path, files: KeySettings) -> None:
    """A client without a key, or with bytes for one, that never sends its body is answered."""

    async def story(_: httpx.AsyncClient, service: Service) -> None:
        sent: list[Any] = []
        headers = [(b"content-length", b"10"), (b"authorization", b"Bearer \xff\xfe")]
        scope = {"type": "http", "method": "POST", "path": "/rm/v1/score", "headers": headers}

        async def receive() -> Any:
            raise AssertionError("the body was read")

        async def send(message: Any) -> None:
            sent.append(message)

        await create_app(service)(scope, receive, send)
        assert sent[0]["status"] == 401
        assert (b"connection", b"close") in sent[0]["headers"]

    with_api(settings_for(published, keys=files), story)


def test_a_newline_after_a_path_opens_nothing(published: Path, files: KeySettings, tmp_path: Path) -> None:
    """Routers' patterns end in $, which a final newline satisfies too: such a path must not pass as an unknown one."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        paths = sorted(create_app(service).app.openapi()["paths"])
        assert "/rm/v1/feedback/export" in paths
        for path in paths:
            for method in ("GET", "POST", "DELETE"):
                for ending in ("%0A", "%0D%0A", "%00"):
                    reply = await client.request(method, path.replace("{", "").replace("}", "") + ending)
                    assert not reply.is_success, (method, path, ending, reply.status_code)

    feedback = FeedbackSettings(url=f"sqlite:///{tmp_path}/votes.db")
    keys = files.model_copy(update={"score_file": None})
    with_api(settings_for(published, keys=keys, feedback=feedback), story)
