"""Aliases over HTTP: only with an admin key, only to loaded versions, in the store and here before the answer."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from model_export.publish import write_version
from service.app import Service
from service.bundle.pointer import read_pointer
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import read_verified
from service.settings import Settings
from tests.api import error_of, settings_for, with_api
from tests.e2e.process import serving

ADMIN = {"authorization": "Bearer admin-key"}
ITEM = {"items": [{"prompt": "p", "response": "r"}]}
ALIASES = "/rm/v1/models/tiny/aliases"
ROLLBACK = "/rm/v1/models/tiny/rollback"


@pytest.fixture
def second(store: Path, version: Path) -> str:
    """Another version, published as candidate."""
    return publish(store, version, 2, "candidate")


def publish(store: Path, version: Path, sequence: int, *aliases: str) -> str:
    """The same model with another sequence number: another digest."""
    files = read_verified(version)
    with writer(store, "tiny") as directory:
        manifest = files.manifest.model_copy(update={"sequence": sequence})
        digest = write_version(directory, manifest, files.contents)
        set_aliases(directory, dict.fromkeys(aliases, digest))
    return digest


def key_file(store: Path) -> Path:
    path = store.parent / "admin-keys"
    path.write_text("admin-key\n")
    return path


def writing(store: Path, **overrides: Any) -> Settings:
    """A server that writes its store; it polls too seldom for a poll to be what makes a change visible."""
    repository = {"writer": True, "poll_interval_s": 3600.0}
    return settings_for(store, keys={"admin_file": key_file(store)}, repository=repository, **overrides)


async def scored_by(client: httpx.AsyncClient, selector: str = "tiny") -> str:
    reply = await client.post("/rm/v1/score", json=ITEM | {"model": selector})
    assert reply.status_code == 200, reply.text
    digest: str = reply.json()["model"]["version"]
    return digest


def test_moving_removing_and_going_back(store: Path, version: Path, second: str) -> None:
    """In force when the answer comes, written in the store, logged with who, what, from and to."""

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        before = await scored_by(client)
        with capture_logs() as logs:
            reply = await client.put(f"{ALIASES}/stable", json={"version": "candidate"}, headers=ADMIN)
        assert reply.status_code == 200, reply.text
        assert reply.json() | {"request_id": ""} == {
            "request_id": "", "model": "tiny", "alias": "stable", "version": second, "previous": version.name,
            "generation": 3,
        }  # fmt: skip
        [entry] = [entry for entry in logs if entry["event"] == "audit"]
        assert (entry["action"], entry["before"], entry["after"]) == ("alias_set", version.name, second)
        assert len(entry["who"]) == 8
        assert "admin-key" not in json.dumps(logs)
        assert await scored_by(client) != before
        assert read_pointer(store / "tiny").aliases["stable"] == second
        back = await client.post(ROLLBACK, json={"alias": "stable"}, headers=ADMIN)
        assert (back.status_code, back.json()["version"]) == (200, version.name), back.text
        assert await scored_by(client) == before
        pinned = await client.put(f"{ALIASES}/blue", json={"version": second[:10]}, headers=ADMIN)
        assert (pinned.status_code, pinned.json()["previous"]) == (200, None)
        gone = await client.delete(f"{ALIASES}/candidate", headers=ADMIN)
        assert (gone.json()["version"], gone.json()["previous"]) == (None, second)
        assert read_pointer(store / "tiny").aliases == {"stable": version.name, "blue": second}
        error_of(await client.post("/rm/v1/score", json=ITEM | {"model": "tiny@candidate"}), 404)

    with_api(writing(store), story)


def test_what_is_refused(store: Path, version: Path, second: str) -> None:
    """Each with its reason, and without a change."""
    unloaded = publish(store, version, 3)
    pointer = read_pointer(store / "tiny")

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        async def put(alias: str, version: str, model: str = "tiny") -> httpx.Response:
            path = f"/rm/v1/models/{model}/aliases/{alias}"
            return await client.put(path, json={"version": version}, headers=ADMIN)

        assert error_of(await put("stable", unloaded), 409)["code"] == "version_not_ready"
        assert error_of(await put("stable", "f" * 64), 404)["code"] == "unknown_model"
        assert error_of(await put("stable", ""), 404)["param"] == "version"
        assert error_of(await put("UPPER", second), 422)["param"] == "alias"
        for model in ("other", "..", "%2e%2e"):
            assert (await put("stable", second, model)).status_code == 404
        error_of(await client.delete(f"{ALIASES}/nothing", headers=ADMIN), 404)
        error_of(await client.post(ROLLBACK, json={"alias": "nothing"}, headers=ADMIN), 404)
        impossible = await client.post(ROLLBACK, json={}, headers=ADMIN)
        assert error_of(impossible, 409)["code"] == "rollback_impossible"
        error_of(await client.post(ROLLBACK, json={"alias": "stable", "more": 1}, headers=ADMIN), 422)
        with writer(store, "tiny"):
            assert error_of(await put("stable", second), 409)["code"] == "store_busy"
        secret = "never-echoed-secret"
        assert secret not in (await put("stable", secret)).text
        error_of(await client.put(f"{ALIASES}/stable", json={"version": second}), 401)

    with_api(writing(store), story)
    assert read_pointer(store / "tiny") == pointer


def test_a_former_version_that_is_not_loaded(store: Path, version: Path, second: str) -> None:
    """Going back where nothing could answer at once is refused."""
    with writer(store, "tiny") as directory:
        set_aliases(directory, {"stable": second})
        for path in (version, *version.iterdir()):
            path.chmod(0o755)
        (version / "model.onnx").write_bytes(b"damaged")

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        error_of(await client.post(ROLLBACK, json={}, headers=ADMIN), 409)
        assert await scored_by(client) == second

    with_api(writing(store), story)


def test_a_server_that_only_reads(store: Path, second: str) -> None:
    """The default: a key alone moves nothing, and the refusal names the cure."""
    pointer = read_pointer(store / "tiny")

    async def story(client: httpx.AsyncClient, _: Service) -> None:
        reply = await client.put(f"{ALIASES}/stable", json={"version": second}, headers=ADMIN)
        error = error_of(reply, 403)
        assert error["code"] == "writes_disabled"
        assert "plurality alias" in error["message"]

    with_api(settings_for(store, keys={"admin_file": key_file(store)}), story)
    assert read_pointer(store / "tiny") == pointer


def test_without_a_key_admin_is_off(store: Path, second: str) -> None:
    async def story(client: httpx.AsyncClient, _: Service) -> None:
        reply = await client.put(f"{ALIASES}/stable", json={"version": second}, headers=ADMIN)
        assert "keys.admin_file" in error_of(reply, 403)["message"]

    with_api(settings_for(store, repository={"writer": True}), story)


def test_flips_under_load(store: Path, version: Path, second: str) -> None:
    """Requests that run while the alias flips forth and back all succeed; each answers with one version of the two.

    After an answer to the flip, no later request meets the old version, however the poll falls.
    """

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        wrong: list[str] = []
        done = asyncio.Event()

        async def load() -> int:
            count = 0
            while not done.is_set():
                count += await scored_by(client) in {version.name, second}
            return count

        loads = [asyncio.create_task(load()) for _ in range(4)]
        for target in (second, version.name) * 10:
            reply = await client.put(f"{ALIASES}/stable", json={"version": target}, headers=ADMIN)
            assert reply.status_code == 200
            if (found := await scored_by(client)) != target:
                wrong.append(found)
        done.set()
        assert sum(await asyncio.gather(*loads)) > 0
        assert not wrong
        assert service.live.ready

    keys = {"admin_file": key_file(store)}
    with_api(settings_for(store, keys=keys, repository={"writer": True, "poll_interval_s": 0.005}), story)


@contextmanager
def server(store: Path) -> Iterator[httpx.Client]:
    """A real process that writes its store."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PLURALITY_REPOSITORY__WRITER", "true")
        environment.setenv("PLURALITY_KEYS__ADMIN_FILE", str(key_file(store)))
        with serving(store) as served, httpx.Client(base_url=served.api, timeout=60) as client:
            yield client


@pytest.mark.e2e
def test_it_survives_a_restart(store: Path, version: Path, second: str) -> None:
    """The next process serves what the last one was told."""
    with server(store) as client:
        assert client.put(f"{ALIASES}/stable", json={"version": second}, headers=ADMIN).status_code == 200
    with server(store) as client:
        assert client.post("/rm/v1/score", json=ITEM).json()["model"]["version"] == second
        # The version before is not loaded in this process: only what could answer at once is gone back to.
        assert client.post(ROLLBACK, json={}, headers=ADMIN).status_code == 409
    assert read_pointer(store / "tiny").aliases == dict.fromkeys(("stable", "candidate"), second)


@pytest.mark.e2e
def test_a_rollback_survives_a_restart(store: Path, version: Path, second: str) -> None:
    with server(store) as client:
        assert client.put(f"{ALIASES}/stable", json={"version": second}, headers=ADMIN).status_code == 200
        assert client.post(ROLLBACK, json={}, headers=ADMIN).json()["version"] == version.name
    with server(store) as client:
        assert client.post("/rm/v1/score", json=ITEM).json()["model"]["version"] == version.name
