"""The watch in a running service: gauges come and go, the JSON view, retirement, a failing reading."""

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from plurality.core.errors import ConfigurationError
from service.app import Service
from service.bundle.pointer_writer import set_aliases, writer
from service.domain import Reward, ScoreItem, ScoreQuery
from service.drift import monitor
from service.drift.drift_metrics import DRIFT_METRICS
from service.drift.gauges import Gauges
from service.drift.monitor import Watch
from service.settings import read_settings
from tests.api import settings_for, with_api
from tests.fakes import ManualClock, manifest
from tests.service.drift.policy import Policy, publish_length_model

WATCH = {"size": 64, "min_items": 20, "period_s": 3600}


async def fill(service: Service, count: int, *, seed: int = 0) -> None:
    """Score a policy's single answers."""
    query = ScoreQuery(list(Policy(seed=seed).items(count)), None, asyncio.get_running_loop().time() + 60)
    await service.scorer.score(query)


def series(service: Service) -> set[str]:
    """Names of the watch's gauges that have a series."""
    text = service.metrics.render().decode()
    assert " NaN\n" not in text
    names = {line.split("{")[0] for line in text.splitlines() if not line.startswith("#")}
    return {name for name in DRIFT_METRICS if f"rm_{name}" in names}


def watched_lines(service: Service, digest: str) -> list[str]:
    """The series of the watch, and of rewards, that name a version."""
    lines = service.metrics.render().decode().splitlines()
    names = ("rm_group", "rm_score", "rm_watch", "rm_re", "rm_truncated_ratio")
    return [
        line
        for line in lines
        if line.startswith(names) and f'version="{digest[:12]}"' in line and not line.startswith("rm_requests")
    ]


def test_gauges_appear_with_enough_rewards(published: Path) -> None:
    """Nothing below min_items; then series and the JSON view show the same figures."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await fill(service, 19)
        await service.watch.refresh()
        assert series(service) == set()
        [entry] = (await client.get("/rm/v1/watch")).json()["versions"]
        assert entry["readings"] == {}
        await fill(service, 64, seed=1)
        await fill(service, 20, seed=2)
        await service.watch.refresh()
        assert series(service) == DRIFT_METRICS.keys() - {"group_spread"}
        [entry] = (await client.get("/rm/v1/watch")).json()["versions"]
        labels = {"model": "tiny", "version": entry["model"]["version"][:12]}
        for name, value in entry["readings"].items():
            assert service.metrics.registry.get_sample_value(f"rm_{name}", labels) == value

    with_api(settings_for(published, watch=WATCH), story)


def test_the_task_reads_by_itself(published: Path) -> None:
    """With a short period nobody has to ask; groups are counted once each."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        for seed in range(6):
            prompt, answers = Policy(seed=seed).group(4)
            body = {"prompt": prompt, "responses": [*answers[:2], answers[0], answers[0]]}
            assert (await client.post("/rm/v1/rank", json=body)).status_code == 200
        body = {"prompt": "the same", "responses": ["yes"] * 4}
        assert (await client.post("/rm/v1/rank", json=body)).status_code == 200
        value = service.metrics.registry.get_sample_value
        [digest] = service.live.snapshot.resident
        labels = {"model": "tiny", "version": digest[:12]}
        wanted = {"rm_groups_total": 7, "rm_group_collapsed_total": 1, "rm_watch_items": 28}
        # Counters and gauges are set one after the other: all are waited for. The story's own bound ends it.
        while {name: value(name, labels) for name in wanted} != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    with_api(settings_for(published, watch=WATCH | {"period_s": 0.02}), story)


def test_a_failing_reading_does_not_end_the_watch(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a reading raises is logged; the next period tries again."""
    calls: list[int] = []

    def broken(*_: object) -> dict[str, float]:
        calls.append(1)
        raise ZeroDivisionError

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await fill(service, 30)
        while len(calls) < 3:  # noqa: ASYNC110 - the story's own bound ends it
            await asyncio.sleep(0.01)
        assert series(service) == set()

    monkeypatch.setattr(monitor, "read", broken)
    with_api(settings_for(published, watch=WATCH | {"period_s": 0.02}), story)


def test_series_go_with_their_version(store: Path) -> None:
    """A retired version leaves no gauge behind, and the new one starts with an empty window."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        await fill(service, 80)
        await service.watch.refresh()
        [old] = service.live.snapshot.resident.values()
        assert series(service)
        for _ in range(2):  # two: the former version may stay loaded
            new = await asyncio.to_thread(publish_length_model, store)
            while service.live.snapshot.aliases["tiny"]["stable"].digest != new:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        while watched_lines(service, old.digest):  # noqa: ASYNC110 - the story's own bound ends it
            await asyncio.sleep(0.01)
        await service.watch.refresh()
        assert series(service) == set()
        assert watched_lines(service, old.digest) == []
        versions = (await client.get("/rm/v1/watch")).json()["versions"]
        assert {entry["model"]["version"]: entry["readings"] for entry in versions}[new] == {}
        assert old.digest not in {entry["model"]["version"] for entry in versions}

    with_api(settings_for(store, watch=WATCH), story)


def test_a_reading_under_way_does_not_bring_series_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version was retired while its window was read in a thread."""
    registry, reading, retired = CollectorRegistry(), threading.Event(), threading.Event()

    def slow(*_: object) -> dict[str, float]:
        reading.set()
        assert retired.wait(30)
        return {"score_psi": 1.0}

    async def story() -> None:
        watch = Watch(read_settings({"store": "s"}, {}).watch, ManualClock(), registry)
        entry = watch.observe(manifest(), "a" * 64)
        entry.note([ScoreItem("a", "b")], [Reward(0.0, 1, 0)])
        refreshing = asyncio.create_task(watch.refresh())
        assert await asyncio.to_thread(reading.wait, 30)
        entry.close()
        retired.set()
        await refreshing
        assert watch.readings() == {}

    monkeypatch.setattr(monitor, "read", slow)
    asyncio.run(story())
    assert "aaaaaaaaaaaa" not in generate_latest(registry).decode()


def test_an_idle_version_has_no_figures() -> None:
    """What was true when the traffic stopped is taken back after stale_s, and comes again with traffic."""

    async def story() -> None:
        clock = ManualClock()
        watch = Watch(read_settings({"store": "s", "watch": WATCH}, {}).watch, clock, CollectorRegistry())
        entry = watch.observe(manifest(), "a" * 64)
        for number in range(30):
            entry.note([ScoreItem("a", "b" * number)], [Reward(float(number), number, 0)])
        await watch.refresh()
        assert watch.readings()["a" * 64]
        clock.now += 599
        await watch.refresh()
        assert watch.readings()["a" * 64]
        clock.now += 2
        await watch.refresh()
        assert [*watch.readings().values()] == [{}]
        entry.note([ScoreItem("a", "b")], [Reward(0.0, 1, 0)])
        await watch.refresh()
        assert watch.readings()["a" * 64]

    asyncio.run(story())


def test_errors_of_items_are_no_rewards(published: Path) -> None:
    """An item without a reward is in no window."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        items = [ScoreItem("a", f"b {number}") for number in range(20)]
        items += [ScoreItem("a", "word " * 900) for _ in range(5)]
        await service.scorer.score(ScoreQuery(items, None, 1e12, truncate=False))
        await service.watch.refresh()
        [readings] = service.watch.readings().values()
        assert readings["watch_items"] == 20

    with_api(settings_for(published, watch=WATCH), story)


def test_each_version_has_its_own_window(store: Path) -> None:
    """Two aliases of two versions: the traffic of one moves the figures of that one alone."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        [old] = service.live.snapshot.resident
        with writer(store, "tiny") as directory:
            set_aliases(directory, {"before": old})
        new = await asyncio.to_thread(publish_length_model, store)
        await service.live.refresh()
        deadline = asyncio.get_running_loop().time() + 60
        await service.scorer.score(ScoreQuery(list(Policy(seed=0).items(40)), "tiny@before", deadline))
        await service.watch.refresh()
        readings = service.watch.readings()
        assert readings.keys() == {old, new}
        assert (bool(readings[old]), bool(readings[new])) == (True, False)

    with_api(settings_for(store, watch=WATCH), story)


def test_gauges_without_a_figure_are_removed() -> None:
    """A figure that is gone takes its series with it; others stay."""
    registry = CollectorRegistry()
    gauges = Gauges(registry)
    gauges.set("fake", "a", {"score_psi": 0.5, "score_ks": 0.1}, groups=2, collapsed=1)
    gauges.set("fake", "a", {"score_ks": 0.2}, groups=0, collapsed=0)
    text = generate_latest(registry).decode()
    assert "\nrm_score_psi{" not in text
    assert 'rm_score_ks{model="fake",version="a"} 0.2' in text
    assert 'rm_groups_total{model="fake",version="a"} 2.0' in text


def test_settings_that_cannot_work(published: Path) -> None:
    """A window smaller than the least number of rewards would never have a figure."""
    with pytest.raises(ConfigurationError, match="min_items must not be more than size"):
        read_settings({"store": published, "watch": {"size": 100, "min_items": 101}}, {})
