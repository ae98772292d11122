"""Whatever is wrong with a candidate: it is refused with its reason, and the running version never notices."""

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from service.bundle.open import LoadedModel
from service.bundle.store import version_directory
from service.domain import Reward, ScoreItem, ScoreQuery
from service.errors import BundleRejected
from service.versions.self_test import warm_up
from service.versions.states import State
from tests.api import settings_for, with_api
from tests.fakes import NAN, POISON, ScriptedBackend, loaded
from tests.service.bundle.test_open import flip
from tests.stamped import bomb_graph, constant_graph, endless_graph, graph, nan_graph, plant, publish_stamped, stamp_of

ITEM = ScoreItem("w1 w2", "w3 w4")
Damage = Callable[[Path, Path], object]


async def stamp(service: Service, model: str | None = None) -> int | None:
    """Which version's weights and tokenizer answer."""
    query = ScoreQuery([ITEM], model, asyncio.get_running_loop().time() + 60)
    [outcome] = (await service.scorer.score(query)).outcomes
    assert isinstance(outcome, Reward)
    return stamp_of(ITEM, outcome.value)


def state_of(service: Service, digest: str) -> str | None:
    return next((status.state for status in service.live.statuses if status.digest == digest), None)


async def refused(service: Service, client: httpx.AsyncClient, digest: str, reason: str) -> dict[str, Any]:
    """The candidate is refused, once, for that reason; version 1 goes on; every query says why."""
    running = service.live.snapshot.aliases["stamped"]["stable"]
    await service.live.refresh()
    failures = {"model": "stamped", "reason": reason}
    for _ in range(3):
        await service.live.refresh()
        assert await stamp(service) == 1
        [entry] = (await client.get("/rm/v1/models")).json()["rejected"]
        assert (entry["version"], entry["reason"]) == (digest, reason), entry
    assert service.metrics.registry.get_sample_value("rm_model_load_failures_total", failures) == 1
    assert service.live.snapshot.aliases["stamped"]["stable"] is running
    assert state_of(service, digest) == State.REJECTED
    label = {"model": "stamped", "version": digest[:12], "state": "rejected"}
    assert service.metrics.registry.get_sample_value("rm_model_state", label) == 1
    found: dict[str, Any] = entry
    return found


def quiet(**changed: Any) -> dict[str, Any]:
    """Only polls that the test makes itself."""
    return {"poll_interval_s": 600, "dry_run": False, **changed}


def story(store: Path, candidate: Callable[[], str], reason: str, *, said: str = "", **repository: Any) -> None:
    """Serve version 1, put the candidate in, see it refused; then a good version follows."""

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        digest = await asyncio.to_thread(candidate)
        entry = await refused(service, client, digest, reason)
        assert said in entry["message"]
        await asyncio.to_thread(publish_stamped, store, 3)
        await service.live.refresh()
        assert await stamp(service) == 3

    publish_stamped(store, 1)
    with_api(settings_for(store, repository=quiet(**repository)), told)


@pytest.mark.parametrize(
    ("name", "model", "reason", "settings"),
    [
        ("a NaN", nan_graph, "selftest", {}),
        ("a NaN, dry run first", nan_graph, "selftest", {"dry_run": True}),
        ("a bomb", bomb_graph, "resources", {"dry_run": True}),
        ("an endless loop", endless_graph, "timeout", {"dry_run": True, "dry_run_s": 3}),
        ("another version's weights", lambda _: graph(7), "selftest", {}),
        ("no model", lambda _: b"{}", "parse", {}),
        ("no model, dry run first", lambda _: b"{}", "parse", {"dry_run": True}),
    ],
)
def test_bad_weights(
    tmp_path: Path, name: str, model: Callable[[int], bytes], reason: str, settings: dict[str, Any]
) -> None:
    """Honest digests, harmful content."""
    story(tmp_path, lambda: plant(tmp_path, 2, {"model.onnx": model(2)}), reason, **settings)


def test_a_constant_reward(tmp_path: Path) -> None:
    """Its manifest agrees with it, and it is of no use all the same."""
    story(
        tmp_path,
        lambda: plant(tmp_path, 2, {"model.onnx": constant_graph(2)}, reward=lambda _: 0.0),
        "selftest",
        said="every text the same reward",
    )


@pytest.mark.parametrize("by", ["number", "bytes"])
def test_no_room(tmp_path: Path, by: str) -> None:
    """Over the budget beside what an alias names: refused, and what is loaded stays."""

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        digest = await asyncio.to_thread(publish_stamped, tmp_path, 2, aliases=("candidate",))
        await refused(service, client, digest, "resources")
        assert set(service.live.snapshot.aliases["stamped"]) == {"stable"}

    first = version_directory(tmp_path, "stamped", publish_stamped(tmp_path, 1))
    size = sum(path.stat().st_size for path in first.iterdir() if path.name != "manifest.json")
    budget = {"resident_versions": 1} if by == "number" else {"resident_bytes": 5 * size, "resident_factor": 3.0}
    with_api(settings_for(tmp_path, repository=quiet(**budget)), told)


def test_a_spare_version_makes_room(tmp_path: Path) -> None:
    """Two fit: the third takes the place of the first, which no alias names any more."""

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        digests = [service.live.snapshot.aliases["stamped"]["stable"].digest]
        for k in (2, 3):
            digests.append(await asyncio.to_thread(publish_stamped, tmp_path, k))
            await service.live.refresh()
            assert await stamp(service) == k
        assert set(service.live.snapshot.resident) == set(digests[1:])

    publish_stamped(tmp_path, 1)
    with_api(settings_for(tmp_path, repository=quiet(resident_versions=2)), told)


def damaged(store: Path, damage: Damage) -> str:
    """Version 2, good when it was published, then damaged."""
    digest = publish_stamped(store, 2)
    other = next(path for path in (store / "stamped" / "versions").iterdir() if path.name != digest)
    version = store / "stamped" / "versions" / digest
    version.chmod(0o755)
    for path in version.iterdir():
        path.chmod(0o644)
    damage(version, other)
    return digest


def _truncate(version: Path, _: Path) -> None:
    data = (version / "model.onnx").read_bytes()
    (version / "model.onnx").write_bytes(data[: len(data) // 2])


def _link(version: Path, other: Path) -> None:
    (version / "model.onnx").unlink()
    os.link(other / "model.onnx", version / "model.onnx")


def _symlink(version: Path, other: Path) -> None:
    (version / "model.onnx").unlink()
    (version / "model.onnx").symlink_to(other / "model.onnx")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda version, _: (version / "model.onnx").write_bytes(b""), "size"),
        (_truncate, "size"),
        (lambda version, _: flip(version / "model.onnx", 200), "digest"),
        (lambda version, _: flip(version / "manifest.json", 200), "digest"),
        (lambda version, other: shutil.copy(other / "model.onnx", version / "model.onnx"), "digest"),
        (lambda version, other: shutil.copy(other / "tokenizer.json", version / "tokenizer.json"), "digest"),
        (lambda version, _: (version / "extra").write_bytes(b"x"), "digest"),
        (lambda version, _: (version / "tokenizer.json").unlink(), "io"),
        (_link, "io"),
        (_symlink, "io"),
    ],
)
def test_damaged_files(tmp_path: Path, damage: Damage, reason: str) -> None:
    """Empty, cut, one bit, another version's, too many, too few, links."""
    story(tmp_path, lambda: damaged(tmp_path, damage), reason)


def test_what_comes_back_is_loaded(tmp_path: Path) -> None:
    """A file that could not be read is looked for again; the reason goes once it is there."""

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        digest = await asyncio.to_thread(
            damaged, tmp_path, lambda version, _: (version / "tokenizer.json").rename(kept)
        )
        await refused(service, client, digest, "io")
        kept.rename(tmp_path / "stamped" / "versions" / digest / "tokenizer.json")
        await service.live.refresh()
        assert await stamp(service) == 2
        reply = (await client.get("/rm/v1/models")).json()
        assert reply["rejected"] == []
        assert {entry["state"] for entry in reply["versions"]} == {"active", "ready"}

    kept = tmp_path / "kept"
    publish_stamped(tmp_path, 1)
    with_api(settings_for(tmp_path, repository=quiet()), told)


def test_an_unexpected_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of ours while loading is a refusal like another; it is tried again when the pointer is written."""

    def explode(_: LoadedModel) -> None:
        raise RuntimeError("surprise")

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("service.versions.loader.self_test", explode)
            digest = await asyncio.to_thread(publish_stamped, tmp_path, 2)
            entry = await refused(service, client, digest, "internal")
            assert "surprise" not in entry["message"]
        await asyncio.to_thread(publish_stamped, tmp_path, 2)
        await service.live.refresh()
        assert await stamp(service) == 2

    publish_stamped(tmp_path, 1)
    with_api(settings_for(tmp_path, repository=quiet()), told)


def test_slow_to_warm_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too slow here is refused when its time is over, and not waited for."""
    release = threading.Event()

    async def told(client: httpx.AsyncClient, service: Service) -> None:
        with monkeypatch.context() as broken:
            broken.setattr("service.versions.loader.warm_up", lambda _: release.wait(60))
            digest = await asyncio.to_thread(publish_stamped, tmp_path, 2)
            await refused(service, client, digest, "timeout")
        release.set()

    publish_stamped(tmp_path, 1)
    with_api(settings_for(tmp_path, repository=quiet(warm_up_s=0.5)), told)


@pytest.mark.parametrize(("token", "reason"), [(POISON, "warmup"), (NAN, "selftest")])
def test_warming_up_fails(token: int, reason: str) -> None:
    """The longest text must get a finite reward too."""
    model = loaded(ScriptedBackend())
    golden = model.manifest.golden[0].model_copy(update={"token_ids": (token, 2)})
    candidate = replace(model, manifest=model.manifest.model_copy(update={"golden": (golden,)}))
    with pytest.raises(BundleRejected) as refusal:
        warm_up(candidate)
    assert refusal.value.reason == reason
