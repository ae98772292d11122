"""Swapping versions while the service runs: pinned requests, refused candidates, a vanished store."""

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from model_export.checkpoint import open_checkpoint
from model_export.pipeline import Target, export, recalibrate
from model_export.publish import write_version
from service.app import Service
from service.bundle.pointer_writer import set_aliases, writer
from service.bundle.store import read_verified
from service.domain import ScoreItem, ScoreQuery
from service.errors import NotReady, UnknownModel
from tests.api import settings_for, with_api
from tests.service.bundle.test_open import flip
from tests.tiny import labeled_pairs

ITEMS = [ScoreItem("p", "r")]


async def until(service: Service, digest: str) -> None:
    """Wait until the alias `stable` of `tiny` is at a version; the story's own bound ends a wait that is in vain."""
    while service.live.snapshot.aliases["tiny"]["stable"].digest != digest:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def score(service: Service, model: str | None = None) -> str:
    deadline = asyncio.get_running_loop().time() + 60
    return (await service.scorer.score(ScoreQuery(ITEMS, model, deadline))).digest


def new_version(store: Path, checkpoint: Path, *, alias: str = "stable") -> str:
    """Calibrate again on other pairs: a new version of the same weights."""
    return recalibrate(store, "tiny", "stable", labeled_pairs(checkpoint, 40, seed=5), alias=alias).digest


def test_a_new_version_is_picked_up(store: Path, tiny_checkpoint: Path) -> None:
    """The alias moves, the old version is drained and closed, its series go."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        old = await score(service)
        with service.live.pin("tiny") as pinned:
            new = await asyncio.to_thread(new_version, store, tiny_checkpoint)
            await until(service, new)
            assert pinned.digest == old
            [encoding] = await pinned.encode(ITEMS)
            outcome = await pinned.engine.submit(encoding, deadline=1e12)  # type: ignore[arg-type]
            assert not isinstance(outcome, Exception)
        assert await score(service) == new
        while any(status.digest == old for status in service.live.statuses):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        lines = [line for line in service.metrics.render().decode().splitlines() if f'version="{old[:12]}"' in line]
        assert {line.split("{")[0] for line in lines} <= {"rm_items_total", "rm_requests_total"}

    with_api(settings_for(store, repository={"poll_interval_s": 0.02, "dry_run": False, "keep_previous": 0}), story)


def test_a_broken_version_never_hurts_the_running_one(store: Path, tiny_checkpoint: Path) -> None:
    """Refused once, counted once, readable at every query; the old version goes on; a good one follows."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        old = await score(service)
        broken = await asyncio.to_thread(new_version, store, tiny_checkpoint, alias="later")
        directory = store / "tiny" / "versions" / broken
        (directory / "model.onnx").chmod(0o644)
        flip(directory / "model.onnx", 4000)
        with writer(store, "tiny") as model:
            set_aliases(model, {"stable": broken, "later": None})
        while not service.live.snapshot.rejections:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for _ in range(3):
            await service.live.refresh()
            assert await score(service) == old
            [entry] = (await client.get("/rm/v1/models")).json()["rejected"]
            assert entry["version"] == broken
            assert entry["reason"] == "digest"
        failures = service.metrics.registry.get_sample_value(
            "rm_model_load_failures_total", {"model": "tiny", "reason": "digest"}
        )
        assert failures == 1

    with_api(settings_for(store), story)


def test_a_vanished_store_and_a_broken_pointer(store: Path) -> None:
    """What is loaded goes on serving whatever happens to the files."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        old = await score(service)
        (store / "tiny" / "pointer.json").write_text("{")
        await service.live.refresh()
        assert await score(service) == old
        assert service.live.snapshot.rejections[0].reason == "parse"
        (store / "tiny" / "pointer.json").write_bytes(b" " * (2 * 2**20))
        await service.live.refresh()
        assert await score(service) == old
        shutil.rmtree(store / "tiny")
        await service.live.refresh()
        assert await score(service) == old
        assert service.live.snapshot.rejections[0].model == "tiny"
        shutil.rmtree(store)
        await service.live.refresh()
        await service.live.refresh()
        assert await score(service) == old
        assert service.metrics.registry.get_sample_value("rm_store_up") == 0

    with_api(settings_for(store), story)


def test_an_empty_store_is_not_ready(tmp_path: Path) -> None:
    """Without a version nothing is scored and nothing is made up; the service waits."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert not service.live.ready
        with pytest.raises(NotReady):
            await score(service)
        reply = await client.post("/rm/v1/score", json={"items": []})
        assert reply.status_code == 503
        assert reply.headers["retry-after"] == "1"

    with_api(settings_for(tmp_path), story)


def test_several_models(store: Path, tiny_checkpoint: Path) -> None:
    """With two models a request must name one, unless a default is configured."""
    quiet = Target(store, "second", ("fp32",))
    export(open_checkpoint(str(tiny_checkpoint)), quiet, say=lambda _: None)

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        with pytest.raises(UnknownModel, match="second, tiny"):
            await score(service)
        assert await score(service, "second") != await score(service, "tiny")

    async def with_default(client: httpx.AsyncClient, service: Service) -> None:
        assert await score(service) == await score(service, "tiny")

    with_api(settings_for(store), story)
    with_api(settings_for(store, default_model="tiny"), with_default)


def test_a_manifest_of_another_model(store: Path) -> None:
    """A version copied under another model's name is refused."""
    shutil.copytree(store / "tiny", store / "other")

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        assert set(service.live.snapshot.aliases) == {"tiny"}
        [rejection] = service.live.snapshot.rejections
        assert "belongs to model tiny" in rejection.message

    with_api(settings_for(store), story)


def test_the_watcher_survives_surprises(store: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception while looking at the store does not end the watching."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        failed = asyncio.Event()

        def explode(_: Path) -> list[str]:
            failed.set()
            raise RuntimeError("surprise")

        with monkeypatch.context() as broken:
            broken.setattr("service.versions.live.model_names", explode)
            await failed.wait()
        new = await asyncio.to_thread(new_version, store, tiny_checkpoint)
        await until(service, new)

    with_api(settings_for(store), story)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time fourteen hours ahead."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "XXX-14")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_a_time_without_a_zone_is_utc(store: Path, version: Path) -> None:
    """A version's age does not depend on where the service runs."""
    files = read_verified(version)
    manifest = files.manifest.model_copy(update={"created": "2026-01-01T00:00:00", "sequence": 2})
    with writer(store, "tiny") as directory:
        set_aliases(directory, {"stable": write_version(directory, manifest, files.contents)})

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await service.live.refresh()
        age = service.metrics.registry.get_sample_value("rm_model_age_seconds", {"model": "tiny"})
        assert age is not None
        assert age - time.time() == pytest.approx(-1767225600, abs=3600)

    with_api(settings_for(store), story)
